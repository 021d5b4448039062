/** What the next hop, the log, the list of processes and the disk get to know of a client and its password. */
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { authPlain, expecting, greet, knock, note, submit } from "./conversation.ts";

let relay: Relay;
let hop: FakeServer | undefined;
afterEach(async () => {
  await relay.stop();
  await hop?.close();
  hop = undefined;
});

const helo = "anna-laptop.home.example";

/** A client that tells its name sends a message and gives what the next hop was told. */
async function relayed(settings: string): Promise<{ commands: string; header: string }> {
  hop = await fakeServer();
  relay = await startRelay(`${settings}\n[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
  const { talk } = await knock(relay.submissions, true);
  await expecting("250", talk.say(`EHLO ${helo}`));
  await expecting("235", talk.say(authPlain(relay.login, relay.password)));
  const bcc = "From: user1@example.org\r\nBcc: secret@example.net\r\nSubject: x\r\n\r\nHello\r\n";
  await relay.logged(new RegExp(`${await submit(talk, bcc)}: removed`));
  talk.close();
  const [received] = hop.received;
  return { commands: hop.commands.join("\n"), header: received?.message.split("\r\n\r\n")[0] ?? "" };
}

describe("the next hop", () => {
  test("learns neither address nor name of the client, nor whom the Bcc named", async () => {
    const { commands, header } = await relayed("");
    expect(header).toMatch(/^Received: from authenticated-user by relay\.example\.org\r\n/);
    expect(header).toContain("\r\nSubject: x");
    for (const secret of [helo, "127.0.0.1", "secret@example.net", relay.password]) {
      expect(header).not.toContain(secret);
      expect(commands).not.toContain(secret);
    }
    expect(commands).toContain("EHLO relay.example.org");
  });

  test("learns both where the site wants everybody to know them", async () => {
    const { header } = await relayed("[log]\nclient-address-in-mail = true");
    expect(header).toMatch(
      /^Received: from anna-laptop\.home\.example \(\[127\.0\.0\.1\]\) by relay\.example\.org\r\n/,
    );
  });
});

describe("a password", () => {
  /** As it is, and as it goes over the wire. */
  const forms = (password: string): readonly string[] => [
    password,
    Buffer.from(password).toString("base64"),
    Buffer.from(`\0user1\0${password}`).toString("base64"),
  ];

  test("is in no log, no list of processes and no file, whether it was right or wrong", async () => {
    relay = await startRelay();
    const wrong = crypto.randomUUID();
    const talk = await greet(relay);
    await expecting("535", talk.say(authPlain("user1", wrong)));
    await expecting("334", talk.say("AUTH LOGIN"));
    await expecting("334", talk.say(Buffer.from("user1").toString("base64")));
    await expecting("535", talk.say(Buffer.from(wrong).toString("base64")));
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    await relay.logged(new RegExp(`${await submit(talk, note("secret"))}: removed`));
    talk.close();

    const secrets = [...forms(wrong), ...forms(relay.password)];
    const places = new Map([
      ["the log", relay.log()],
      ["the command line", await readFile(`/proc/${relay.pid}/cmdline`, "latin1")],
      ["the environment", await readFile(`/proc/${relay.pid}/environ`, "latin1")],
    ]);
    for (const entry of await readdir(relay.folder, { recursive: true, withFileTypes: true })) {
      const path = join(entry.parentPath, entry.name);
      if (entry.isFile() && entry.name !== "password") places.set(path, await readFile(path, "latin1"));
    }
    expect(places.size).toBeGreaterThan(5);
    for (const [place, text] of places) {
      for (const secret of secrets) expect(text.includes(secret), place).toBe(false);
    }
  });

  test("that was typed where the user name belongs is not in the log", async () => {
    relay = await startRelay();
    const talk = await greet(relay);
    await talk.say(`AUTH PLAIN ${relay.password}`); // no base64
    await talk.say(`AUTH ${relay.password}`); // no mechanism
    await talk.say(relay.password); // no command
    await talk.say("QUIT");
    talk.close();
    await relay.logged(/disconnect from /);
    expect(relay.log()).not.toContain(relay.password);
  });

  test("of the smarthost is in no log and no file of ours", async () => {
    hop = await fakeServer({ STARTTLS: "454 4.7.0 not today" });
    const secret = crypto.randomUUID();
    relay = await startRelay();
    await writeFile(join(relay.folder, "smarthost-password"), `${secret}\n`);
    await relay.configure(`[delivery]
relay = "smtp://127.0.0.1:${hop.port}"
relay-user = "relay1"
relay-password-file = "FOLDER/smarthost-password"`);
    relay.signal("SIGHUP");
    await relay.logged(/passwords re-read/);
    const talk = await greet(relay);
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    await relay.logged(new RegExp(`${await submit(talk, note("refused"))}: to=.* status=deferred`));
    talk.close();
    expect(hop.commands.join("\n")).not.toContain("AUTH"); // it is shown to nobody without TLS
    expect(relay.log()).not.toContain(secret);
    const inQueue = () => readdir(join(relay.folder, "spool/queue"));
    await expect.poll(inQueue).toHaveLength(1); // it leaves the journal behind the log's line
    const [queued = ""] = await inQueue();
    expect(await readFile(join(relay.folder, "spool/queue", queued), "utf8")).not.toContain(secret);
  });
});
