/** Each reply that the table of clients explains to people is one that the running relay gives, with that code and text. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { type ReplyName, replies } from "../../../src/commands/settings/replies.ts";
import { runWell } from "../../tools/child.mjs";
import { authPlain, type Conversation, enter, greet, knock, note, submitAlone } from "./conversation.ts";

const connections = 24;
const limits = `[limits]\nmessage-size = "1M"\nrecipients = 100\nconnections-per-address = ${connections}`;

let relay: Relay;
beforeAll(async () => {
  relay = await startRelay(limits);
});
afterAll(() => relay?.stop());

/** What `say` hears in a session of its own, which has come as far as `begun`. */
async function heard(
  begun: Promise<Conversation>,
  say: (talk: Conversation) => Promise<string>,
): Promise<string> {
  const talk = await begun;
  try {
    return await say(talk);
  } finally {
    talk.close();
  }
}

/** The last reply to lines of which all others are taken. */
async function afterAllOf(talk: Conversation, ...lines: readonly string[]): Promise<string> {
  let last = "";
  for (const line of lines) {
    expect(last).toMatch(/^(?:[23]|$)/);
    last = await talk.say(line);
  }
  return last;
}

/** With a relay of its own. */
async function elsewhere(started: Promise<Relay>, ask: (other: Relay) => Promise<string>): Promise<string> {
  const other = await started;
  try {
    return await ask(other);
  } finally {
    await other.stop();
  }
}

const from = "MAIL FROM:<user1@example.org>";
const to = "RCPT TO:<x@example.net>";

const asked: Readonly<Record<ReplyName, () => Promise<string>>> = {
  "wrong-password": () => heard(greet(relay), (talk) => talk.say(authPlain("user1", "wrong"))),
  "too-many-guesses": async () => {
    const guess = (at: number) => heard(greet(relay), (talk) => talk.say(authPlain("user2", `wrong ${at}`)));
    for (const said of await Promise.all(Array.from({ length: 10 }, (_, at) => guess(at))))
      expect(said).toMatch(/^535 /);
    return guess(10);
  },
  "no-check": () =>
    elsewhere(withoutLogins(), (other) =>
      heard(greet(other), (talk) => talk.say(authPlain("user1", "some password"))),
    ),
  frozen: async () => {
    const login = (...words: readonly string[]) =>
      runWell(process.execPath, [program, "login", ...words, "--config", relay.config]);
    await login("freeze", "user1");
    try {
      return await heard(greet(relay), (talk) => talk.say(authPlain("user1", relay.password)));
    } finally {
      await login("thaw", "user1", "--yes");
    }
  },
  "tls-first": async () => {
    const { talk } = await knock(relay.submission, false);
    return heard(Promise.resolve(talk), (plain) => afterAllOf(plain, "EHLO client.example.org", from));
  },
  "no-login": () => heard(greet(relay), (talk) => talk.say(from)),
  "wrong-sender": () => heard(enter(relay), (talk) => talk.say("MAIL FROM:<boss@example.org>")),
  quota: () =>
    elsewhere(startRelay("[limits]\nmessages-per-hour = 1"), async (other) => {
      await submitAlone(other, note("one"));
      return heard(enter(other), (talk) => talk.say(from));
    }),
  "too-large": () => heard(enter(relay), (talk) => talk.say(`${from} SIZE=10000000`)),
  recipients: () =>
    heard(enter(relay), (talk) =>
      afterAllOf(talk, from, ...Array.from({ length: 101 }, (_, at) => `RCPT TO:<x${at}@example.net>`)),
    ),
  connections: async () => {
    const open: Conversation[] = [];
    try {
      for (let at = 0; at <= connections; at++) {
        const { talk, greeting } = await knock(relay.submission, false);
        open.push(talk);
        if (!greeting.startsWith("220")) return greeting;
      }
      return "";
    } finally {
      for (const talk of open) talk.close();
    }
  },
  "no-room": () =>
    elsewhere(startRelay('[spool]\ndirectory = "FOLDER/spool"\nreserve = "100000G"'), (other) =>
      heard(enter(other), (talk) => talk.say(from)),
    ),
  "unclear-author": () =>
    heard(enter(relay), (talk) =>
      afterAllOf(talk, from, to, "DATA", "From: One, User <user1@example.org>\r\n\r\nhello\r\n."),
    ),
  "line-ends": () =>
    heard(enter(relay), async (talk) => {
      await talk.send("NOOP\n");
      return talk.reply();
    }),
};

async function withoutLogins(): Promise<Relay> {
  const other = await prepareRelay();
  await writeFile(join(other.folder, "mail-passwords"), "", { mode: 0o600 });
  await other.start();
  return other;
}

describe("the running relay says", () => {
  test.each(Object.keys(replies) as ReplyName[])("%s", async (name) => {
    const { code, text } = replies[name];
    const said = await asked[name]();
    // A reply of several lines has its code on each (RFC 5321 section 4.2.1).
    const [basic = "", enhanced = ""] = code.split(" ");
    expect(
      said.split("\n").every((line) => line.startsWith(basic) && line.slice(4).startsWith(enhanced)),
    ).toBe(true);
    const whole = said
      .split("\n")
      .map((line) => line.slice(code.length + 1))
      .join(" ");
    expect(whole).toContain(text);
  });
});
