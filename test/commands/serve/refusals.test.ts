/** What a client may not do, and what the relay cannot do for it: the right reply, and nothing lost. */
import { mkdtemp, readdir, readFile, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { isRoot } from "../../interop/root.ts";
import { runWell } from "../../tools/child.mjs";
import { until } from "../../tools/until.ts";
import {
  authPlain,
  type Conversation,
  enter,
  greet,
  knock,
  note,
  submit,
  submitAlone,
} from "./conversation.ts";

const limits = '[limits]\nmessage-size = "1M"\nrecipients = 100\nconnections-per-address = 1000';

async function filesIn(folder: string): Promise<readonly string[]> {
  const found = await readdir(folder, { recursive: true, withFileTypes: true });
  return found.filter((entry) => entry.isFile()).map(({ name }) => name);
}

/** Messages and drafts of messages in the spool. */
const spooled = async (folder: string): Promise<readonly string[]> =>
  (await filesIn(folder)).filter((name) => /^[0-9A-F]{10,12}$/.test(name));

const emptied = (folder: string): Promise<true> =>
  until(`nothing in ${folder}`, async () => ((await spooled(folder)).length === 0 ? true : undefined));

describe("a client", () => {
  let relay: Relay;
  beforeAll(async () => {
    relay = await startRelay(limits);
  });
  afterAll(() => relay?.stop());

  interface Case {
    readonly name: string;
    readonly from: (relay: Relay) => Promise<Conversation>;
    readonly says: (relay: Relay) => readonly string[];
    readonly hears: RegExp;
  }
  const inClear = async ({ submission }: Relay): Promise<Conversation> =>
    (await knock(submission, false)).talk;
  const mail = "MAIL FROM:<user1@example.org>";

  const cases: readonly Case[] = [
    {
      name: "with a wrong password",
      from: greet,
      says: () => [authPlain("user1", "wrong")],
      hears: /^535 5\.7\.8 /,
    },
    {
      name: "whom nobody knows",
      from: greet,
      says: () => [authPlain("user9", "wrong")],
      hears: /^535 5\.7\.8 /,
    },
    {
      name: "that shows a good password in clear",
      from: inClear,
      says: ({ password }) => ["EHLO c.example.org", authPlain("user1", password)],
      hears: /^530 5\.7\.0 Must issue a STARTTLS/,
    },
    {
      name: "that sends mail in clear",
      from: inClear,
      says: () => ["EHLO c.example.org", mail],
      hears: /^530 5\.7\.0 /,
    },
    {
      name: "that sends mail without login",
      from: greet,
      says: () => [mail],
      hears: /^530 5\.7\.0 Authentication/,
    },
    {
      name: "that names recipients without login",
      from: greet,
      says: () => ["RCPT TO:<x@example.net>"],
      hears: /^530 5\.7\.0 Authentication/,
    },
    {
      name: "that announces too much",
      from: enter,
      says: () => [`${mail} SIZE=1048577`],
      hears: /^552 5\.3\.4 /,
    },
    {
      name: "that sends as somebody else",
      from: enter,
      says: () => ["MAIL FROM:<user2@example.org>"],
      hears: /^550 5\.7\.1 /,
    },
    {
      name: "that sends too much without announcing it",
      from: enter,
      says: () => [
        mail,
        "RCPT TO:<x@example.net>",
        "DATA",
        `${note("big", "x".repeat(70).concat("\r\n").repeat(16_000))}.`,
      ],
      hears: /^552 5\.3\.4 /,
    },
    {
      name: "with too many recipients",
      from: enter,
      says: () => [mail, ...Array.from({ length: 101 }, (_, number) => `RCPT TO:<x${number}@example.net>`)],
      hears: /^452 4\.5\.3 /,
    },
  ];

  test.each(cases)("$name is refused", async ({ from, says, hears }) => {
    const talk = await from(relay);
    let said = "";
    for (const line of says(relay)) said = await talk.say(line);
    talk.close();
    expect(said).toMatch(hears);
    await emptied(join(relay.folder, "spool"));
  });

  test("hears the same of a wrong password and of a name that nobody has", async () => {
    const talk = await greet(relay);
    const wrong = await talk.say(authPlain("user1", "wrong"));
    expect(await talk.say(authPlain("user9", "wrong"))).toBe(wrong);
    talk.close();
  });

  test("with too many recipients has its message delivered to those that were taken", async () => {
    const talk = await enter(relay);
    await talk.say(mail);
    for (let number = 0; number < 102; number += 1) await talk.say(`RCPT TO:<x${number}@example.net>`);
    await talk.say("DATA");
    const id = /queued as (\w+)$/.exec(await talk.say(`${note("many")}.`))?.[1];
    talk.close();
    await relay.logged(new RegExp(`${id}: removed`));
    const { recipients } = JSON.parse(await readFile(join(relay.delivered, `${id}.json`), "utf8"));
    expect(recipients).toEqual(Array.from({ length: 100 }, (_, number) => `x${number}@example.net`));
  });

  test("is told to come back when its spool's folder cannot be written, and then its message is taken", async () => {
    const filesOnly = await startRelay('[spool]\ndirectory = "FOLDER/spool"\njournal = false');
    try {
      const messages = join(filesOnly.folder, "spool/messages");
      const talk = await enter(filesOnly);
      await rename(messages, `${messages}.away`);
      await writeFile(messages, "no folder");
      await talk.say(mail);
      await talk.say("RCPT TO:<x@example.net>");
      const said = await talk.say("DATA");
      expect(said).toMatch(/^45[12] 4\.3\.[01] /);
      await filesOnly.logged(/message from unknown\[127\.0\.0\.1\] could not be stored: /);
      await rm(messages);
      await rename(`${messages}.away`, messages);
      await talk.say("RSET");
      await filesOnly.logged(new RegExp(`${await submit(talk, note("second try"))}: removed`));
      talk.close();
    } finally {
      await filesOnly.stop();
    }
  });

  test("loses nothing when it is the delivery whose notes cannot be written", async () => {
    const settings = (to: string): string =>
      `[delivery]\nrelay = "${to}"\nretry-first = "1s"\nretry-longest = "1s"`;
    const unlucky = await startRelay(settings("smtp://127.0.0.1:9"));
    try {
      const drafts = join(unlucky.folder, "spool/drafts");
      const id = await submitAlone(unlucky, note("patient"));
      await unlucky.logged(new RegExp(`${id}: to=.* status=deferred`));
      await rename(drafts, `${drafts}.away`);
      await writeFile(drafts, "no folder");
      await unlucky.logged(new RegExp(`${id}: the spool cannot be written, trying again later: `));
      await rm(drafts);
      await rename(`${drafts}.away`, drafts);
      await unlucky.configure(settings("file:FOLDER/delivered"));
      unlucky.signal("SIGHUP");
      await unlucky.logged(new RegExp(`${id}: removed`));
      expect(await filesIn(unlucky.delivered)).toEqual(expect.arrayContaining([`${id}.eml`, `${id}.json`]));
    } finally {
      await unlucky.stop();
    }
  });

  test("gets 454, which bans nobody, while there is no password file yet, and is let in when there is", async () => {
    const beginner = await startRelay(`[passwords]\nfile = "FOLDER/later"`);
    try {
      const talk = await greet(beginner);
      expect(await talk.say(authPlain("user1", beginner.password))).toMatch(/^454 4\.7\.0 /);
      await writeFile(join(beginner.folder, "later"), "");
      expect(await talk.say(authPlain("user1", beginner.password))).toMatch(/^454 4\.7\.0 /);
      expect(beginner.log()).toMatch(/later: .*empty/);
      await rename(join(beginner.folder, "mail-passwords"), join(beginner.folder, "later"));
      expect(await talk.say(authPlain("user1", beginner.password))).toMatch(/^235 /);
      talk.close();
    } finally {
      await beginner.stop();
    }
  });
});

const mayMount = isRoot && (await canMount());
if (!mayMount) process.stderr.write("\n*** SKIPPED: a disk that is full, which takes root to mount ***\n");

async function canMount(): Promise<boolean> {
  const place = await mkdtemp(join(tmpdir(), "tpa-submit-mount-"));
  try {
    await runWell("mount", ["-t", "tmpfs", "-o", "size=1M", "tmpfs", place]);
    await runWell("umount", [place]);
    return true;
  } catch {
    return false; // a container that may not
  } finally {
    await rm(place, { recursive: true });
  }
}

describe.skipIf(!mayMount)("a spool on a disk of 12 MB", () => {
  let disk: string;
  let relay: Relay;
  const mail = "MAIL FROM:<user1@example.org>";
  const filling = (octets: number): string =>
    "x"
      .repeat(98)
      .concat("\r\n")
      .repeat(octets / 100);

  /** What the disk has left is asked at most once in a second, and too many refusals end a session. */
  const untilMail = (talk: Conversation, answer: RegExp): Promise<true> =>
    until(`MAIL to be answered ${String(answer)}`, async () => {
      const said = await talk.say(mail);
      await talk.say("RSET");
      if (answer.test(said)) return true;
      await pause(250);
      return undefined;
    });
  const untilRoom = (talk: Conversation): Promise<true> => untilMail(talk, /^250 /);

  beforeAll(async () => {
    disk = await mkdtemp(join(tmpdir(), "tpa-submit-disk-"));
    await runWell("mount", ["-t", "tmpfs", "-o", "size=12M,nr_inodes=1000", "tmpfs", disk]);
    relay = await startRelay(`[spool]\ndirectory = "${disk}/spool"\nreserve = "1M"\nreserve-inodes = 100`);
  });
  afterAll(async () => {
    await relay?.stop();
    await runWell("umount", [disk]);
    await rm(disk, { recursive: true });
  });

  test("that is full: MAIL is answered 452, and 250 when there is room again", async () => {
    const talk = await enter(relay);
    await writeFile(join(disk, "filler"), Buffer.alloc(11_700_000));
    expect(await talk.say(mail)).toMatch(/^452 4\.3\.1 /);
    await rm(join(disk, "filler"));
    await untilRoom(talk);
    await relay.logged(new RegExp(`${await submit(talk, note("room again"))}: removed`));
    talk.close();
  });

  test("that has no inodes to spare: the same", async () => {
    const talk = await enter(relay);
    await untilRoom(talk);
    const names = Array.from({ length: 950 }, (_, index) => join(disk, `filler-${String(index)}`));
    const made = await Promise.allSettled(names.map((name) => writeFile(name, "")));
    expect(made.filter(({ status }) => status === "fulfilled").length).toBeGreaterThan(850);
    await untilMail(talk, /^452 4\.3\.1 /);
    await Promise.all(names.map((name) => rm(name, { force: true })));
    await untilRoom(talk);
    await relay.logged(new RegExp(`${await submit(talk, note("inodes again"))}: removed`));
    talk.close();
  });

  test.each([
    ["messages", "DATA"],
    ["drafts", "the end of the message"],
  ])("whose folder of %s becomes read-only: 451 at %s, nothing stays, and 250 later", async (folder) => {
    const path = join(disk, "spool", folder);
    const talk = await enter(relay);
    await runWell("mount", ["--bind", path, path]);
    try {
      await runWell("mount", ["-o", "remount,bind,ro", path]);
      await untilRoom(talk);
      await talk.say(mail);
      await talk.say("RCPT TO:<x@example.net>");
      const said = await talk.say("DATA");
      const answer = said.startsWith("354") ? await talk.say(`${note("read-only")}.`) : said;
      expect(answer).toMatch(/^451 4\.3\.0 /);
      await relay.logged(/EROFS/);
    } finally {
      await runWell("umount", [path]);
    }
    await talk.say("RSET");
    await relay.logged(new RegExp(`${await submit(talk, note("writable again"))}: removed`));
    await emptied(join(disk, "spool"));
    talk.close();
  });

  test("too small for the message that was announced: 452 before it is sent in vain", async () => {
    const talk = await enter(relay);
    expect(await talk.say(`${mail} SIZE=15000000`)).toMatch(/^452 4\.3\.1 /);
    talk.close();
  });

  test("that fills up amid a message: 452 at its end, no rest of it, and the session goes on", async () => {
    const talk = await enter(relay);
    await talk.say(mail);
    await talk.say("RCPT TO:<x@example.net>");
    await talk.say("DATA");
    expect(await talk.say(`${note("too much", filling(15_000_000))}.`)).toMatch(/^452 4\.3\.1 /);
    await emptied(join(disk, "spool"));
    await relay.logged(new RegExp(`${await submit(talk, note("small enough"))}: removed`));
    talk.close();
  });
});
