/** Runs test/dialogues/*.smtp against the real listener: as they stand, octet by octet and, where marked, pipelined. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import { senderPolicy } from "../../src/server/submission/sender-policy.ts";
import type { SessionContext } from "../../src/server/submission/session.ts";
import { connect } from "../server/submission/client.ts";
import {
  type DiskFaults,
  openTestListener,
  quotaOf,
  type Stored,
  type TestListener,
} from "../server/submission/test-listener.ts";
import { type Dialogue, firstAmiss, type Mail, matches, parseDialogues, type Step } from "./dialogue.ts";
import { type Transcript, transcribed } from "./transcript.ts";

type Manner = "line by line" | "octet by octet" | "pipelined";

const folder = import.meta.dirname;

for (const file of readdirSync(folder).filter((name) => name.endsWith(".smtp"))) {
  describe(file, () => {
    for (const dialogue of parseDialogues(readFileSync(join(folder, file), "utf8"), file)) {
      for (const manner of manners(dialogue)) {
        test(`${dialogue.title}, ${manner}`, () => run(dialogue, manner, `${file}:`));
      }
    }
  });
}

function manners({ words }: Dialogue): readonly Manner[] {
  return [
    "line by line",
    ...(words.has("whole") ? [] : (["octet by octet"] as const)),
    ...(words.has("pipelined") ? (["pipelined"] as const) : []),
  ];
}

async function run(dialogue: Dialogue, manner: Manner, file: string): Promise<void> {
  const { words } = dialogue;
  const server = await openTestListener(words.has("secure") ? "smtps" : "submission", ...settings(dialogue));
  const client = await connect(server.port, words.has("secure"));
  const transcript = transcribed(client);
  try {
    await begin(transcript, dialogue, file);
    await converse(transcript, dialogue.steps, manner, file);
  } finally {
    client.destroy();
    await server.close();
  }
  judge(dialogue, server, transcript, file);
}

const every = ["CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"] as const;

function settings({ settings: given }: Dialogue): [Partial<SessionContext>, DiskFaults] {
  const number = (name: string): number => Number(given.get(name));
  const policy = given.get("policy");
  const faults = ["draft", "write", "accept"].filter((name) => given.has(name));
  return [
    {
      ...(given.has("message-size") ? { messageSize: number("message-size") } : {}),
      quota: quotaOf({
        ...(given.has("messages-per-hour") ? { messagesPerHour: number("messages-per-hour") } : {}),
        ...(given.has("recipients-per-day") ? { recipientsPerDay: number("recipients-per-day") } : {}),
        ...(given.has("new-recipients-per-day")
          ? { newRecipientsPerDay: number("new-recipients-per-day") }
          : {}),
      }),
      ...(given.has("recipients") ? { recipients: number("recipients") } : {}),
      ...(given.get("line-ends") === "repair" ? { lineEnds: "repair" } : {}),
      ...(given.has("wrong-text") ? { wrongText: (given.get("wrong-text") ?? "").replaceAll("_", " ") } : {}),
      ...(given.has("challenges") ? { challenges: every } : {}),
      ...(given.get("require-tls") === "off" ? { requireTls: false } : {}),
      ...(given.has("client-address-in-mail") ? { clientAddressInMail: true } : {}),
      ...(policy === "domain" || policy === "any"
        ? { senders: senderPolicy(policy, "example.org", new Map()) }
        : {}),
    },
    {
      ...Object.fromEntries(faults.map((name) => [name, given.get(name) ?? ""])),
      ...(given.has("free") ? { free: number("free") } : {}),
    },
  ];
}

/** The greeting, TLS and the login, so that a dialogue can come to its point. */
async function begin(talk: Transcript, { words, steps, at }: Dialogue, file: string): Promise<void> {
  const ask = async (command: string, code: string): Promise<void> => {
    await talk.send(`${command}\r\n`);
    await hear(talk, "...", `${file}${at}`);
    await hear(talk, `${code} *`, `${file}${at}`);
  };
  if (words.has("plain") && steps[0]?.kind === "hear") return;
  await hear(talk, "220 relay.example.org ESMTP *", `${file}${at}`);
  if (words.has("starttls")) {
    await ask("EHLO client.example", "250");
    await ask("STARTTLS", "220");
    await talk.startTls();
  }
  if (!words.has("login")) return;
  await ask("EHLO client.example", "250");
  await ask(`AUTH PLAIN ${Buffer.from("\0user1\0secret").toString("base64")}`, "235");
}

async function converse(
  talk: Transcript,
  steps: readonly Step[],
  manner: Manner,
  file: string,
): Promise<void> {
  if (manner === "pipelined") {
    await talk.send(
      Buffer.concat(steps.map((step) => (step.kind === "say" ? step.octets : Buffer.alloc(0)))),
    );
  }
  for (const step of steps) {
    if (step.kind === "say") {
      if (manner === "octet by octet") await trickle(talk, step.octets);
      else if (manner === "line by line") await talk.send(step.octets);
    } else {
      await hear(talk, step.kind === "closed" ? undefined : step.pattern, `${file}${step.at}`);
    }
  }
}

/** Hears the next line, or with an ellipsis all lines of a reply but its last; undefined: the connection's end. */
async function hear(talk: Transcript, pattern: string | undefined, where: string): Promise<void> {
  if (pattern === "...") {
    while (/^\d\d\d-/.test((await talk.next()) ?? "")) await talk.line();
    return;
  }
  const line = await talk.line();
  const isAsExpected = pattern === undefined ? line === undefined : matches(pattern, line ?? "");
  if (!isAsExpected) throw talk.amiss(`${where}: expected ${pattern ?? "the connection's end"}`);
}

/** The first octets alone, so that each comes in a packet of its own; the rest of a long step in odd pieces. */
async function trickle(talk: Transcript, octets: Buffer): Promise<void> {
  const alone = octets.subarray(0, 400);
  for (const octet of alone) {
    void talk.client.send(Buffer.of(octet));
    await nextTurn();
  }
  for (let at = alone.length; at < octets.length; at += 997)
    await talk.client.send(octets.subarray(at, at + 997));
  talk.note("C", octets);
}

function judge({ mails, logs, at }: Dialogue, server: TestListener, talk: Transcript, file: string): void {
  const where = `${file}${at}`;
  const { stored, log } = server;
  const open = server.openDrafts();
  const texts = log.map(({ text }) => text);
  if (log.some(({ event }) => event === "bug"))
    throw talk.amiss(`${where}: expected no bug in the log`, texts);
  if (open !== 0) throw talk.amiss(`${where}: expected every draft accepted or discarded, ${open} are open`);
  if (mails && mails.length !== stored.length)
    throw talk.amiss(`${where}: expected ${mails.length} messages in the spool, found ${stored.length}`);
  for (const [index, mail] of (mails ?? []).entries()) compare(mail, stored[index], talk, where);
  for (const pattern of logs) {
    if (!texts.some((text) => matches(pattern, text)))
      throw talk.amiss(`${where}: expected log: ${pattern}`, texts);
  }
}

function compare({ fields, lines }: Mail, stored: Stored | undefined, talk: Transcript, where: string): void {
  if (!stored) throw new Error("no such message");
  const { envelope, text } = stored;
  const said: Readonly<Record<string, unknown>> = {
    ...envelope,
    from: `<${envelope.sender}>`,
    to: envelope.recipients.map(({ address }) => `<${address}>`).join(","),
    notify: envelope.recipients[0]?.notify?.join(","),
    orcpt: envelope.recipients[0]?.orcpt,
  };
  for (const [name, value] of fields) {
    const found = String(said[name]);
    if (found !== value) throw talk.amiss(`${where}: expected mail ${name}=${value}, found ${name}=${found}`);
  }
  if (lines.length === 0) return;
  const written = Buffer.from(text, "latin1").toString("utf8").split("\r\n");
  if (written.pop() !== "") throw talk.amiss(`${where}: expected the message to end with CR LF`, written);
  const amiss = firstAmiss(lines, written);
  if (amiss !== undefined) throw talk.amiss(`${where}: expected M: ${amiss}`, written);
}

describe("a dialogue that fails shows the conversation so far, and what was expected:", () => {
  const toQuit = ["secure", "C: EHLO client.example", "S: ...", "S: 250 *", "C: QUIT"];
  test.each([
    ["another reply", [...toQuit, "S: 250 2.0.0 Ok"], "x.smtp:7: expected 250 2.0.0 Ok"],
    ["no end", [...toQuit, "closed"], "x.smtp:7: expected the connection's end"],
    ["no reply", [...toQuit, "S: 221 *", "S: 250 *"], "x.smtp:8: expected 250 *"],
    ["no message", [...toQuit, "S: 221 *", "mail"], "x.smtp:1: expected 1 messages in the spool, found 0"],
    ["another line of the log", [...toQuit, "S: 221 *", "log: never"], "x.smtp:1: expected log: never"],
  ])("%s", async (_, lines, expected) => {
    const [dialogue] = parseDialogues(
      ["== that fails", ...lines].join("\n").replace(/^mail$/m, "mail x=1"),
      "x",
    );
    if (!dialogue) throw new Error("nothing to run");
    const error: unknown = await run(dialogue, "line by line", "x.smtp:").catch((reason: unknown) => reason);
    const { message } = error as Error;
    expect(message.split("\n")[0]).toBe(expected);
    expect(message).toMatch(
      /\nS: 220 relay.*\nC: EHLO client\.example\nS: 250-.*\n(?:S: 250.*\n)+C: QUIT\nS: 221 /,
    );
    expect(message).not.toMatch(/\b(?:true|false)\b/);
  });
});
