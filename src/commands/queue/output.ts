/** What `tpa-submit queue` prints: messages as a table, as JSON and as mailq; data to standard output, the rest to standard error. */
import { once } from "node:events";
import { visible } from "../../cli/output.ts";
import type { Column } from "../../cli/table.ts";
import { errorCode, exitStatus } from "../../failure.ts";
import type {
  DamagedMessage,
  ListedMessage,
  QueryApi,
  QueuedMessage,
} from "../../server/control/protocol.ts";
import type { Envelope, LastReply, Recipient } from "../../server/spool/envelope.ts";
import { formatReply } from "../../smtp/reply.ts";

export const columns: readonly Column[] = [
  { title: "ID" },
  { title: "STATUS" },
  { title: "AGE", align: "right" },
  { title: "SIZE", align: "right", yields: 3 },
  { title: "TRIES", align: "right", yields: 1 },
  { title: "LOGIN", least: 6, yields: 2 },
  { title: "SENDER", least: 12, yields: 4 },
  { title: "RECIPIENTS", least: 14 },
  { title: "WHY", least: 14 },
];

/** With one for the host, where there are several. */
export const columnsFor = (isShared: boolean): readonly Column[] =>
  isShared ? columns.toSpliced(2, 0, { title: "HOST", least: 6, yields: 5 }) : columns;

/** `now` is in milliseconds since the epoch; `brief` names one recipient where there are many. */
export function rowOf(
  message: QueuedMessage | DamagedMessage,
  now: number,
  brief: boolean,
): readonly string[] {
  const host = hostCells(message);
  if (message.status === "damaged")
    return [message.id, "damaged", ...host, "", "", "", "", "", "", message.reason];
  const { id, status, envelope } = message;
  const { accepted, size, attempts, login, sender } = envelope;
  const waiting = waitingOf(envelope).map(({ address }) => address);
  const [first = "", ...others] = waiting;
  const recipients = brief && others.length > 0 ? `${first} +${others.length}` : waiting.join(",");
  return [
    id,
    status,
    ...host,
    ageText(now - accepted),
    sizeText(size),
    String(attempts),
    login ?? "-",
    sender === "" ? "<>" : sender,
    recipients,
    whyOf(envelope),
  ];
}

/** The host that has it, where there are several; "-" where none has it at the moment. */
const hostCells = ({ host }: QueuedMessage | DamagedMessage): readonly string[] =>
  host === undefined ? [] : [host ?? "-"];

/** Whether several hosts share the queue. */
export async function isSharedQueue(api: QueryApi): Promise<boolean> {
  let hosts = 0;
  for await (const _ of api({ verb: "hosts" })) hosts += 1;
  return hosts > 1;
}

export const waitingOf = ({ recipients }: Envelope): readonly Recipient[] =>
  recipients.filter(({ state }) => state === "waiting");

/** Why it is still here, as far as that is known. */
function whyOf({ held, recipients }: Envelope): string {
  if (held) return held.reason === "" ? `held by ${held.by}` : held.reason;
  const last = recipients.find(({ state, reply }) => state === "waiting" && reply !== undefined)?.reply;
  return last === undefined ? "" : formatReply(last);
}

const spans = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
  [1000, "s"],
] as const;

/** "3h": whole units of the largest that fits. */
export function ageText(milliseconds: number): string {
  const [length, unit] = spans.find(([one]) => milliseconds >= one) ?? [1000, "s"];
  return `${Math.max(0, Math.floor(milliseconds / length))}${unit}`;
}

/** "12K": octets in powers of 1024. */
export function sizeText(octets: number): string {
  if (octets < 1024) return String(octets);
  const power = Math.min(3, Math.floor(Math.log2(octets) / 10));
  const size = octets / 1024 ** power;
  return `${size < 10 ? size.toFixed(1) : size.toFixed(0)}${["", "K", "M", "G"][power] ?? ""}`;
}

export const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`;

/** The names of Postfix's queues. */
const queueNames = {
  waiting: "incoming",
  active: "active",
  deferred: "deferred",
  held: "hold",
  damaged: "corrupt",
} as const;

/**
 * A message as JSON: first the keys of Postfix's `postqueue -j`, so that its readers need not change, with times in
 * seconds since the epoch; then our own, with times of RFC 3339. `more` gives further keys of a recipient.
 */
export function jsonOf(
  message: QueuedMessage | DamagedMessage,
  more: (recipient: Recipient) => object = () => ({}),
): object {
  const queue = { queue_name: queueNames[message.status], queue_id: message.id };
  const host = message.host === undefined ? {} : { host: message.host };
  if (message.status === "damaged")
    return { ...queue, status: message.status, ...host, reason: message.reason };
  const { status, envelope } = message;
  const { accepted, size, sender } = envelope;
  return {
    ...queue,
    arrival_time: Math.floor(accepted / 1000),
    message_size: size,
    forced_expire: false,
    sender: sender === "" ? "MAILER-DAEMON" : sender,
    recipients: waitingOf(envelope).map((one) => ({ ...waitingJson(one), ...more(one) })),
    status,
    ...host,
    ...ownKeys(envelope, more),
  };
}

function waitingJson({ address, reply }: Recipient): object {
  return reply === undefined ? { address } : { address, delay_reason: reasonOf(reply), status: reply.status };
}

function ownKeys(
  { login, attempts, due, warned, held, relay, envid, recipients }: Envelope,
  more: (recipient: Recipient) => object,
): object {
  const done = recipients.filter(({ state }) => state !== "waiting");
  return {
    login,
    attempts,
    next_attempt: time(due),
    late: warned,
    ...(held && { held: { since: time(held.at), by: held.by, reason: held.reason } }),
    ...(relay !== undefined && { relay }),
    ...(envid !== undefined && { envid }),
    ...(done.length > 0 && {
      done: done.map((one) => ({
        address: one.address,
        state: one.state,
        ...(one.reply && { reply: reasonOf(one.reply) }),
        ...more(one),
      })),
    }),
  };
}

export const time = (milliseconds: number): string => new Date(milliseconds).toISOString();

/** Why a recipient still waits, as Postfix's mailq has it: `host mx[192.0.2.1] said: 451 4.3.0 try later (in reply to RCPT TO command)`. */
export function reasonOf(reply: LastReply): string {
  const { relay, command, text } = reply;
  if (relay === "none") return text;
  const host = relay.replace(/:\d+$/, "");
  return `host ${host} said: ${formatReply(reply)}${command === "" ? "" : ` (in reply to ${command} command)`}`;
}

/** asctime(3) without the year, in the zone of this host. */
function dateText(milliseconds: number): string {
  const [weekday, month, day, , time] = new Date(milliseconds).toString().split(" ");
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${time}`;
}

const mailqLine = (id: string, size: string, date: string, rest: string): string =>
  `${id.padEnd(11)} ${size.padStart(7)} ${date.padEnd(20)} ${rest}\n`;

/**
 * The queue as mailq(1) of Postfix shows it, character by character: check_mailq and many scripts read that, and look at
 * the last line first. Postfix's formats of a line are `%-11s %7ld %20.20s %s` and `%-11s %7s %-20s %s`.
 */
export async function* mailqLines(
  messages: AsyncIterable<QueuedMessage | DamagedMessage>,
): AsyncGenerator<string> {
  let count = 0;
  let octets = 0;
  for await (const message of messages) {
    yield count === 0 ? "-Queue ID-  --Size-- ----Arrival Time---- -Sender/Recipient-------\n" : "\n";
    count++;
    octets += "envelope" in message ? message.envelope.size : 0;
    yield* mailqEntry(message);
  }
  yield count === 0
    ? "Mail queue is empty\n"
    : `\n-- ${Math.floor(octets / 1024)} Kbytes in ${count} Request${count === 1 ? "" : "s"}.\n`;
}

/** What follows the ID. */
const statusMarks: Readonly<Record<string, string>> = { active: "*", held: "!" };

function* mailqEntry(message: QueuedMessage | DamagedMessage): Generator<string> {
  if (message.status === "damaged") {
    yield mailqLine(message.id, "0", "", `(damaged: ${visible(message.reason)})`);
    return;
  }
  const { id, status, envelope } = message;
  const sender = envelope.sender === "" ? "MAILER-DAEMON" : envelope.sender;
  yield mailqLine(
    `${id}${statusMarks[status] ?? " "}`,
    String(envelope.size),
    dateText(envelope.accepted),
    visible(sender),
  );
  let before = "";
  for (const { address, reply } of waitingOf(envelope)) {
    const reason = reply === undefined ? "" : visible(reasonOf(reply));
    if (reason !== before) yield reason === "" ? "" : `${`(${reason})`.padStart(78)}\n`;
    before = reason;
    yield mailqLine("", "", "", visible(address));
  }
}

/** Characters that are written at a time. */
const writtenAtATime = 32_768;

/** Writes texts as they come, and waits for a slow reader. When the reader has gone, the program ends. */
export async function printAll(texts: AsyncIterable<string>): Promise<void> {
  process.stdout.on("error", ended);
  let waiting = "";
  for await (const text of texts) {
    waiting += text;
    if (waiting.length < writtenAtATime) continue;
    await write(waiting);
    waiting = "";
  }
  await write(waiting);
  process.stdout.off("error", ended);
}

/** The same for octets. */
export async function printOctets(pieces: AsyncIterable<Uint8Array>): Promise<void> {
  process.stdout.on("error", ended);
  for await (const piece of pieces) await write(piece);
  process.stdout.off("error", ended);
}

/** For standard error. */
export function say(line: string): void {
  process.stderr.write(`${line}\n`);
}

async function write(data: string | Uint8Array): Promise<void> {
  if (!process.stdout.write(data)) await once(process.stdout, "drain");
}

/** `queue list | head`: as with ls, that is no error. */
function ended(error: Error): void {
  if (errorCode(error) !== "EPIPE") throw error;
  process.exit(exitStatus.ok);
}

/** Counts the messages that pass, and prints of each unknown ID that it is not in the queue. */
export function newCounts() {
  let messages = 0;
  let recipients = 0;
  let unknown = 0;
  return {
    async *of(found: AsyncIterable<ListedMessage>): AsyncGenerator<QueuedMessage | DamagedMessage> {
      for await (const one of found) {
        if (one.status === "unknown") {
          unknown++;
          say(`${one.id}: not in the queue`);
          continue;
        }
        messages++;
        if ("envelope" in one)
          recipients += one.envelope.recipients.filter(({ state }) => state === "waiting").length;
        yield one;
      }
    },
    messages: () => messages,
    unknown: () => unknown > 0,
    text: () =>
      messages === 0
        ? "no messages"
        : `${plural(messages, "message")} for ${plural(recipients, "recipient")}`,
  };
}
