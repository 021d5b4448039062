/** The real `tpa-submit sendmail` beside the real relay: what is handed in arrives, once, whoever is killed when. */
import { spawn } from "node:child_process";
import { chmod, link, mkdir, readdir, readFile, rename, rm, symlink, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { viewSpool } from "../../../src/server/spool/spool.ts";
import { asRoot } from "../../tools/as-root.ts";
import { until } from "../../tools/until.ts";

const me = userInfo().username;

const settings = (more = ""): string => `[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = ""
local = "FOLDER/local"
[sendmail]
maildrop = "FOLDER/maildrop"
aliases = "FOLDER/aliases"
[senders]
local = "FOLDER/senders"
${more}`;

/** Not started yet. */
async function prepared(more?: string): Promise<Relay> {
  const relay = await prepareRelay(settings(more));
  await chmod(relay.folder, 0o755);
  await mkdir(join(relay.folder, "maildrop"));
  await chmod(join(relay.folder, "maildrop"), 0o3777);
  await writeFile(join(relay.folder, "aliases"), "root: admin@example.net, user2\n");
  await writeFile(join(relay.folder, "senders"), `${me}: ${me}@relay.example.org, press@example.org\n`);
  return relay;
}

interface Ended {
  readonly status: number | null;
  readonly says: string;
  readonly prints: string;
}

interface Caller {
  /** Number of the user who calls. */
  readonly uid?: number;
  /** Milliseconds after which it is killed. */
  readonly kill?: number;
}

function sendmail(
  relay: Relay,
  words: readonly string[],
  input: string,
  { uid, kill }: Caller = {},
): Promise<Ended> {
  const child = spawn(process.execPath, [program, "sendmail", ...words], {
    cwd: "/",
    env: { ...process.env, TPA_SUBMIT_MAILDROP: join(relay.folder, "maildrop") },
    ...(uid === undefined ? {} : { uid, gid: uid }),
  });
  let says = "";
  let prints = "";
  child.stderr.on("data", (octets: Buffer) => {
    says += octets.toString();
  });
  child.stdout.on("data", (octets: Buffer) => {
    prints += octets.toString();
  });
  child.stdin.on("error", () => undefined); // it may be gone
  child.stdin.end(input);
  if (kill !== undefined) setTimeout(() => child.kill("SIGKILL"), kill);
  return new Promise((resolve) => child.on("close", (status) => resolve({ status, says, prints })));
}

const note = (subject: string, more = ""): string => `Subject: ${subject}\n${more}\nA line.\n`;

/** The message with that subject, as it was delivered. */
const delivered = (relay: Relay, subject: string): Promise<string> =>
  until(`"${subject}" to be delivered`, async () => {
    for (const name of await readdir(relay.delivered)) {
      if (name.startsWith(".")) continue; // is being written
      const text = await readFile(join(relay.delivered, name), "latin1");
      if (text.includes(`Subject: ${subject}\r\n`)) return text;
    }
    return undefined;
  });

const inMaildrop = async (relay: Relay): Promise<readonly string[]> =>
  (await readdir(join(relay.folder, "maildrop"))).filter((name) => !name.startsWith("."));

describe("mail of this host's programs", () => {
  let relay: Relay;

  beforeAll(async () => {
    relay = await prepared();
    await relay.start();
  });
  afterAll(() => relay?.stop());

  test("goes the way of all other mail, in its user's name", async () => {
    const ended = await sendmail(
      relay,
      ["-i", "-FCronDaemon", "-oem", "root"],
      note("one", "From: root (Cron Daemon)\nTo: root\nBcc: secret@example.net\n"),
    );
    expect(ended).toEqual({ status: 0, says: "", prints: "" });
    const text = await delivered(relay, "one");
    expect(text).toContain(`From: "Cron Daemon" <${me}@relay.example.org>\r\n`);
    expect(text).toMatch(
      /^Received: from authenticated-user by relay\.example\.org\r\n\twith ESMTPA id [0-9A-F]{12};\r\n\t/m,
    );
    expect(text).not.toContain("secret");
    expect(text).toContain("\r\n\r\nA line.\r\n");
    await relay.logged(
      new RegExp(
        `postfix/pickup\\[\\d+\\]: [0-9a-f]{32}: uid=${userInfo().uid} from=<${me}@relay\\.example\\.org>`,
      ),
    );
    await relay.logged(
      new RegExp(
        `local/smtpd\\[\\d+\\]: ([0-9A-F]+): client=unknown\\[127\\.0\\.0\\.1\\], sasl_method=LOCAL, sasl_username=${me}@relay\\.example\\.org`,
      ),
    );
    await relay.logged(/to=<admin@example\.net>.*status=sent/);
    await relay.logged(/to=<user2@example\.org>.*status=sent/);
    await until("the maildrop to be empty", async () =>
      (await inMaildrop(relay)).length === 0 ? true : undefined,
    );
  });

  test("takes recipients from the header, and an address that the user was given", async () => {
    await sendmail(
      relay,
      ["-t", "-i", "-fpress@example.org"],
      note("two", "To: a@example.net\nCc: b@example.net\nBcc: c@example.net\n"),
    );
    expect(await delivered(relay, "two")).not.toContain("c@example.net");
    for (const who of "abc") await relay.logged(new RegExp(`to=<${who}@example\\.net>.*status=sent`));
    await relay.logged(/from=<press@example\.org>, size=/);
  });

  test("comes back where the sender is somebody else's", async () => {
    await sendmail(relay, ["-f", "user1@example.org", "someone@example.net"], note("three"));
    await relay.logged(
      /from=<user1@example\.org>, 1 recipients refused: 550 5\.7\.1 \S+ may not send as user1@example\.org/,
    );
    const report = await delivered(relay, "Your message could not be delivered");
    expect(report.replace(/\s+/g, " ")).toContain("may not send as user1@example.org");
    expect(report).toContain(me === "root" ? "To: <admin@example.net>" : `To: <${me}@example.org>`);
    expect(report).toContain("Subject: three");
  });

  test("ends with 64, 65, 67 and 78, and says why", async () => {
    const cases: readonly (readonly [readonly string[], string, number, RegExp])[] = [
      [[], note("x"), 64, /expected recipients, or -t/],
      [["-t"], note("x"), 65, /there is no recipient in the header/],
      [["-t"], note("x", "To: a@example.net, <b@\n"), 65, /the To field cannot be understood/],
      [["a b@example.net"], note("x"), 67, /is no address/],
      [["-Z"], "", 64, /-Z: there is no such option/],
    ];
    for (const [words, input, status, says] of cases) {
      const ended = await sendmail(relay, words, input);
      expect(ended).toMatchObject({ status, prints: "" });
      expect(ended.says).toMatch(says);
      expect(ended.says.trimEnd()).not.toContain("\n");
    }
    const child = { ...relay, folder: join(relay.folder, "nowhere") };
    const ended = await sendmail(child, ["root"], note("x"));
    expect(ended.status).toBe(78);
    expect(ended.says).toMatch(/there is no maildrop here; sendmail\.maildrop/);
  });

  test("speaks SMTP", async () => {
    const dialogue = [
      "EHLO me",
      "RCPT TO:<a@example.net>",
      `MAIL FROM:<${me}@relay.example.org> RET=HDRS`,
      "RCPT TO:<root>",
      "RCPT TO:<>",
      "RCPT TO:<smtp@example.net> NOTIFY=NEVER",
      "DATA",
      "Subject: four",
      "",
      "..dot",
      ".",
      "NONSENSE",
      "QUIT",
      "",
    ].join("\r\n");
    const { status, prints } = await sendmail(relay, ["-bs"], dialogue);
    expect(status).toBe(0);
    const codes = prints
      .split("\r\n")
      .filter((line) => !/^\d\d\d-/.test(line))
      .map((line) => line.slice(0, 3));
    expect(codes).toEqual(["220", "250", "503", "250", "250", "501", "250", "354", "250", "500", "221", ""]);
    expect(await delivered(relay, "four")).toContain("\r\n\r\n.dot\r\n");
    await relay.logged(/to=<smtp@example\.net>.*status=sent/);
  });

  test("leaves alone what is none of its own", async () => {
    const folder = join(relay.folder, "maildrop");
    const named = (digit: string): string => join(folder, digit.repeat(32));
    /** Else the relay may look at it before it has its content. */
    const putWhole = async (digit: string, content: string): Promise<void> => {
      await writeFile(join(relay.folder, digit), content);
      await rename(join(relay.folder, digit), named(digit));
    };
    await writeFile(
      join(relay.folder, "other"),
      '{"version":1,"recipients":["a@example.net"]}\nSubject: not sent\r\n\r\n',
    );
    await link(join(relay.folder, "other"), named("a"));
    await symlink(join(relay.folder, "other"), named("b"));
    await mkdir(named("c"));
    await putWhole("d", "no first line");
    await putWhole("e", '{"version":2,"recipients":["a@example.net"]}\nx');
    for (const [digit, reason] of [
      ["a", "it has several names"],
      ["b", "it is a symbolic link"],
      ["c", "it is no file"],
      ["d", "its first line is longer than"],
      ["e", "version: expected 1, found 2"],
    ]) {
      await relay.logged(new RegExp(`${digit?.repeat(32)}: is passed over: ${reason}`));
    }
    await sendmail(relay, ["a@example.net"], note("after them"));
    await delivered(relay, "after them");
    for (const digit of "abcde") await rm(named(digit), { recursive: true });
  });

  test.skipIf(!asRoot("sending as another user"))("of another user is in that one's name", async () => {
    const nobody = 65_534;
    expect(await sendmail(relay, ["someone@example.net"], note("five"), { uid: nobody })).toMatchObject({
      status: 0,
      says: "",
    });
    expect(await delivered(relay, "five")).toContain("From: nobody@relay.example.org\r\n");
    await relay.logged(/sasl_username=nobody@relay\.example\.org/);
    await sendmail(relay, ["-f", "press@example.org", "someone@example.net"], note("six"), { uid: nobody });
    await relay.logged(
      /nobody@relay\.example\.org may not send as press@example\.org, but as: nobody@relay\.example\.org/,
    );
  });
});

describe("while the relay is away", () => {
  test("it is taken, waits, and arrives", async () => {
    const relay = await prepared();
    try {
      expect(await sendmail(relay, ["someone@example.net"], note("early"))).toMatchObject({
        status: 0,
        says: "",
      });
      expect(await inMaildrop(relay)).toHaveLength(1);
      await relay.start();
      await delivered(relay, "early");
    } finally {
      await relay.stop();
    }
  });

  test("a limit defers it, and nothing is lost", async () => {
    const relay = await prepared("[limits]\nmessages-per-hour = 1\n");
    try {
      await relay.start();
      await sendmail(relay, ["someone@example.net"], note("first"));
      await delivered(relay, "first");
      await sendmail(relay, ["someone@example.net"], note("second"));
      await relay.logged(/stays in the maildrop for now: .*messages/);
      expect(await inMaildrop(relay)).toHaveLength(1);
    } finally {
      await relay.stop();
    }
  });
});

const kills = 8;

test(`nothing is lost or doubled in ${kills} kills of the relay`, async () => {
  // Nobody listens there, so all that is accepted stays in the spool and can be counted.
  const relay = await prepared('[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1h"\n');
  try {
    await relay.start();
    let sent = 0;
    for (let kill = 0; kill < kills; kill++) {
      const batch = Array.from({ length: 4 }, () =>
        sendmail(relay, ["a@example.net"], note(`number ${sent++}`)),
      );
      for (const ended of await Promise.all(batch)) expect(ended).toMatchObject({ status: 0, says: "" });
      await pause(60 * Math.random());
      relay.signal("SIGKILL");
      await relay.ended;
      await relay.start();
    }
    await until("the maildrop to be empty", async () =>
      (await inMaildrop(relay)).length === 0 ? true : undefined,
    );
    const spool = await viewSpool(join(relay.folder, "spool"));
    const subjects: string[] = [];
    for (const id of await spool.ids()) {
      subjects.push(/Subject: (.*)\r\n/.exec((await spool.bodyStart(id, 2_000)).toString())?.[1] ?? id);
    }
    expect(subjects.toSorted()).toEqual(Array.from({ length: sent }, (_, at) => `number ${at}`).toSorted());
  } finally {
    await relay.stop();
  }
});

test("a killed sendmail leaves a whole message or none", async () => {
  const relay = await prepared();
  try {
    const body = "x".repeat(70).concat("\n").repeat(20_000);
    const done: string[] = [];
    for (let time = 0; time < 12; time++) {
      const subject = `kill ${time}`;
      const { status } = await sendmail(relay, ["-i", "a@example.net"], note(subject, "X: y\n") + body, {
        kill: 40 + 20 * time,
      });
      if (status === 0) done.push(subject);
    }
    await relay.start();
    for (const subject of done)
      expect(await delivered(relay, subject)).toHaveLength(
        (await delivered(relay, done[0] ?? "")).length - (done[0] ?? "").length + subject.length,
      );
    await until("the maildrop to be empty", async () =>
      (await inMaildrop(relay)).length === 0 ? true : undefined,
    );
    for (const name of (await readdir(relay.delivered)).filter((one) => one.endsWith(".eml"))) {
      expect((await readFile(join(relay.delivered, name))).length).toBeGreaterThan(20_000 * 72);
    }
  } finally {
    await relay.stop();
  }
});
