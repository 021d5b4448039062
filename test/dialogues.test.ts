/** Runs test/dialogues/*.smtp against the real listener: as they stand, octet by octet and, where marked, pipelined. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { setImmediate as nextTurn } from "node:timers/promises";
import { describe, expect, test } from "vitest";
import type { Submission } from "../src/server/submission/door/listener.ts";
import { senderPolicy } from "../src/server/submission/policy.ts";
import {
  allMatch,
  type Dialogue,
  type Mail,
  matches,
  parseDialogues,
  type Step,
} from "./dialogues/dialogue.ts";
import { type Client, connect } from "./submission/client.ts";
import { type DiskFaults, type Door, openDoor, quotaOf, type Stored } from "./submission/door.ts";

type Manner = "line by line" | "octet by octet" | "pipelined";

const folder = join(import.meta.dirname, "dialogues");

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
  const door = await openDoor(words.has("secure") ? "smtps" : "submission", ...settings(dialogue));
  const client = await connect(door.port, words.has("secure"));
  try {
    await begin(client, dialogue);
    await converse(client, dialogue.steps, manner, file);
  } finally {
    client.destroy();
    await door.close();
  }
  judge(dialogue, door, file);
}

const every = ["CRAM-MD5", "SCRAM-SHA-1", "SCRAM-SHA-256"] as const;

function settings({ settings: given }: Dialogue): [Partial<Submission>, DiskFaults] {
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
async function begin(client: Client, { words, steps }: Dialogue): Promise<void> {
  if (words.has("plain") && steps[0]?.kind === "hear") return;
  expect(await client.line()).toMatch(/^220 relay\.example\.org ESMTP /);
  if (words.has("starttls")) {
    await ask(client, "EHLO client.example", "250");
    await ask(client, "STARTTLS", "220");
    await client.startTls();
  }
  if (!words.has("login")) return;
  await ask(client, "EHLO client.example", "250");
  await ask(client, `AUTH PLAIN ${Buffer.from("\0user1\0secret").toString("base64")}`, "235");
}

async function ask(client: Client, command: string, code: string): Promise<void> {
  await client.send(`${command}\r\n`);
  let line = await client.line();
  while (line?.startsWith(`${code}-`)) line = await client.line();
  expect(line).toMatch(new RegExp(`^${code} `));
}

async function converse(client: Client, steps: readonly Step[], manner: Manner, file: string): Promise<void> {
  if (manner === "pipelined") {
    await client.send(
      Buffer.concat(steps.map((step) => (step.kind === "say" ? step.octets : Buffer.alloc(0)))),
    );
  }
  for (const step of steps) {
    if (step.kind === "say") {
      if (manner === "octet by octet") await trickle(client, step.octets);
      else if (manner === "line by line") await client.send(step.octets);
    } else if (step.kind === "closed") {
      expect(await client.line(), `${file}${step.at}: the connection must be closed`).toBeUndefined();
    } else {
      await hear(client, step.pattern, `${file}${step.at}`);
    }
  }
}

/** What comes after an ellipsis is heard in place of it. */
let ahead: { readonly client: Client; readonly line: string | undefined } | undefined;

async function hear(client: Client, pattern: string, where: string): Promise<void> {
  const line = ahead?.client === client ? ahead.line : await client.line();
  ahead = undefined;
  if (pattern !== "...") {
    expect(matches(pattern, line ?? ""), `${where}: expected ${pattern}, got ${line}`).toBe(true);
    return;
  }
  let next = line;
  while (next !== undefined && /^\d\d\d-/.test(next)) next = await client.line();
  ahead = { client, line: next };
}

/** The first octets alone, so that each comes in a packet of its own; the rest of a long step in odd pieces. */
async function trickle(client: Client, octets: Buffer): Promise<void> {
  const alone = octets.subarray(0, 400);
  for (const octet of alone) {
    void client.send(Buffer.of(octet));
    await nextTurn();
  }
  for (let at = alone.length; at < octets.length; at += 997) await client.send(octets.subarray(at, at + 997));
}

function judge({ mails, logs, at }: Dialogue, door: Door, file: string): void {
  const { stored, log } = door;
  expect(log.filter(({ event }) => event === "bug")).toEqual([]);
  expect(door.openDrafts(), "every draft is accepted or discarded").toBe(0);
  if (mails) {
    expect(stored.length, `${file}${at}: messages in the spool`).toBe(mails.length);
    for (const [index, mail] of mails.entries()) compare(mail, stored[index]);
  }
  for (const pattern of logs) {
    const texts = log.map(({ text }) => text);
    expect(
      texts.some((text) => matches(pattern, text)),
      `${file}${at}: no ${pattern} in\n${texts.join("\n")}`,
    ).toBe(true);
  }
}

function compare({ fields, lines }: Mail, stored: Stored | undefined): void {
  if (!stored) throw new Error("no such message");
  const { envelope, text } = stored;
  const said: Readonly<Record<string, unknown>> = {
    ...envelope,
    from: `<${envelope.sender}>`,
    to: envelope.recipients.map(({ address }) => `<${address}>`).join(","),
    notify: envelope.recipients[0]?.notify?.join(","),
    orcpt: envelope.recipients[0]?.orcpt,
  };
  for (const [name, value] of fields) expect(`${name}=${String(said[name])}`).toBe(`${name}=${value}`);
  if (lines.length === 0) return;
  expect(text.endsWith("\r\n") || text === "").toBe(true);
  const written = Buffer.from(text, "latin1").toString("utf8").split("\r\n").slice(0, -1);
  expect(allMatch(lines, written), `${lines.join("\n")}\n--- is not ---\n${written.join("\n")}`).toBe(true);
}
