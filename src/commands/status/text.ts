/** The screen of `status`, its line for Nagios, and its JSON. */
import { visible } from "../../cli/output.ts";
import type { Paint } from "../../cli/terminal.ts";
import { type MailCounts, noMail, sumOf } from "../../server/history/activity.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { formatReply } from "../../smtp/reply.ts";
import { ageText, plural, sizeText } from "../queue/output.ts";
import { momentText } from "../trace/text.ts";
import type { StatusFacts } from "./facts.ts";
import type { StatusFinding } from "./judge.ts";

/** Characters of a name at the beginning of a line. */
const named = 16;

/** The screen, lines without their ends, at most `width` characters each. */
export function* screen(
  facts: StatusFacts,
  found: readonly StatusFinding[],
  paint: Paint,
  width: number,
): Generator<string> {
  const cut = (text: string) => (text.length > width ? `${text.slice(0, width - 1)}…` : text);
  const state =
    found.length === 0
      ? paint("green", "well")
      : paint(colourOf(found), `${plural(found.length, "thing")} to look at`);
  yield `${paint("bold", facts.hostname)}: ${state}, ${momentText(facts.at)}`;
  for (const { grade, text } of found) {
    yield paint(grade === "critical" ? "red" : "yellow", cut(`  ! ${visible(text)}`));
  }
  for (const [name, text] of rows(facts, width - named - 2))
    yield cut(`  ${name.padEnd(named)}${visible(text)}`);
}

const colourOf = (found: readonly StatusFinding[]): "red" | "yellow" =>
  found.some(({ grade }) => grade === "critical") ? "red" : "yellow";

/** What is told of one thing, after its name; an empty name goes on with the one before. */
export type StatusRow = readonly [name: string, text: string];

function* rows(facts: StatusFacts, width: number): Generator<StatusRow> {
  yield* relayRows(facts);
  yield* queueRows(facts, width);
  yield* pauseRows(facts, width);
  yield* mailRows(facts);
  yield* providerRows(facts);
  yield* loginRows(facts);
}

export function* relayRows({ relay, passwords, at }: StatusFacts): Generator<StatusRow> {
  const { file, written, fault } = passwords;
  if (relay !== undefined) {
    const { version, started, sessions, memory, loopDelay, certificateUntil, free } = relay;
    yield ["relay", `tpa-submit ${version}, up ${ageText(at - started)}, ${plural(sessions, "session")}`];
    yield ["", `memory ${sizeText(memory)}, ${(loopDelay * 1000).toFixed(0)} ms until somebody's turn`];
    if (free !== null)
      yield ["disk", `${sizeText(free.octets)} and ${free.inodes} inodes left for the spool`];
    yield [
      "certificate",
      certificateUntil === 0 ? "none" : `${Math.floor((certificateUntil - at) / 86_400_000)} days left`,
    ];
  }
  const logins = relay === undefined ? "" : `${plural(relay.logins, "login")}, `;
  yield ["passwords", fault ?? `${logins}${file} written ${ageText(at - (written ?? 0))} ago`];
}

export function* queueRows({ queue, at }: StatusFacts, width: number): Generator<StatusRow> {
  const { messages, held, oldest, destinations } = queue;
  const age = oldest === undefined ? "" : `, the oldest ${ageText(at - oldest)}`;
  yield ["queue", `${plural(messages, "message")}${held === 0 ? "" : `, ${held} held`}${age}`];
  for (const { domain, recipients, oldest: since, reply } of destinations) {
    const known = reply && explainReply(reply, reply.relay);
    const why = known?.meaning ?? (reply === undefined ? "not tried yet" : formatReply(reply));
    const start = `${domain} ${recipients}, ${ageText(at - since)}: `;
    yield ["", `${start}${why.slice(0, Math.max(20, width - start.length))}`];
  }
}

/** Which providers get nothing for a while, and what they said. */
export function* pauseRows({ relay, at }: StatusFacts, width: number): Generator<StatusRow> {
  for (const { provider, until, reason } of relay?.pauses ?? []) {
    const start = `${provider} for ${ageText(until - at)}: `;
    yield ["pausing", `${start}${reason.slice(0, Math.max(20, width - start.length))}`];
  }
}

export const countNames: readonly (keyof MailCounts)[] = [
  "accepted",
  "delivered",
  "deferred",
  "returned",
  "refused",
];
const counted = 10;

function* mailRows({ activity }: StatusFacts): Generator<StatusRow> {
  if (activity === undefined) {
    yield ["mail", "no history is kept (history.keep)"];
    return;
  }
  const { slots } = activity;
  const line = (counts: MailCounts) =>
    countNames.map((name) => String(counts[name]).padStart(counted)).join("");
  yield ["mail", countNames.map((name) => name.padStart(counted)).join("")];
  yield ["  last hour", line(slots.at(-1) ?? noMail)];
  yield ["  last 24 hours", line(sumOf(slots))];
  for (const name of ["accepted", "returned"] as const) {
    yield [`  ${name}`, `${bars(slots.map((slot) => slot[name]))}  an hour each, the last one on the right`];
  }
}

/** Titles and widths of what is told of a provider: 44 characters, so that a reason fits into 80 columns. */
const providerColumns: readonly (readonly [string, number])[] = [
  ["delivered", 9],
  ["deferred", 9],
  ["refused", 8],
  ["half", 6],
  ["95 %", 6],
  ["TLS", 6],
];

function* providerRows({ providers }: StatusFacts): Generator<readonly [string, string]> {
  if (providers.length === 0) return;
  yield ["24 hours, to", providerColumns.map(([title, wide]) => title.padStart(wide)).join("")];
  for (const { name, delivered, deferred, refused, delay, tls, reasons } of providers) {
    const secured = delivered === 0 ? "-" : `${Math.floor((1 - tls.clear / delivered) * 100)} %`;
    const cells = [
      ...[delivered, deferred, refused].map(String),
      ...[delay?.median, delay?.percentile95].map(delayText),
      secured,
    ];
    const [why] = reasons;
    const line = cells.map((cell, index) => cell.padStart(providerColumns[index]?.[1] ?? 0)).join("");
    yield [`  ${shortened(name)}`, why === undefined ? line : `${line}  ${why.times} ${why.class}`];
  }
}

/** So that the figures stand in columns. */
const shortened = (name: string): string => (name.length > named - 3 ? `${name.slice(0, named - 4)}…` : name);

function delayText(seconds: number | undefined): string {
  if (seconds === undefined) return "-";
  return seconds < 60 ? `${seconds.toFixed(seconds < 10 ? 1 : 0)} s` : ageText(seconds * 1000);
}

const steps = "▁▂▃▄▅▆▇█";

/** A character for each of `values`: its height relative to the largest; a dot is none at all. */
export function bars(values: readonly number[]): string {
  const highest = Math.max(1, ...values);
  const heightOf = (value: number) => Math.ceil((value / highest) * steps.length) - 1;
  return values.map((value) => (value === 0 ? "·" : (steps[heightOf(value)] ?? ""))).join("");
}

export function* loginRows({ top, relay, frozen, activity }: StatusFacts): Generator<StatusRow> {
  if (top.length > 0) {
    yield ["top logins", top.map(({ login, recipients }) => `${login} ${recipients}`).join(", ")];
  }
  for (const { login, used, limit, unit } of relay?.nearLimits ?? []) {
    yield ["near a limit", `${login}: ${used} of ${limit} ${unit}`];
  }
  if (frozen.length > 0) yield ["frozen", frozen.join(", ")];
  const guessing = activity?.guessing ?? [];
  const blocks = relay?.blocks ?? 0;
  if (guessing.length === 0 && blocks === 0) return;
  const clients = guessing.map(
    ({ client, wrong }) => `${client.replace(/^unknown\[(.*)\]$/, "$1")} ${wrong}`,
  );
  yield [
    "wrong passwords",
    `${clients.join(", ")}${blocks === 0 ? "" : `; ${plural(blocks, "block")} at the moment`}`,
  ];
}

/** One line for Nagios, and the exit status that goes with it. */
export function nagiosStatus(
  { queue, relay, activity }: StatusFacts,
  found: readonly StatusFinding[],
): { readonly text: string; readonly status: number } {
  const status = found.some(({ grade }) => grade === "critical") ? 2 : found.length > 0 ? 1 : 0;
  const name = ["OK", "WARNING", "CRITICAL"][status] ?? "";
  const words =
    found.length === 0 ? "the relay is well" : found.map(({ text }) => text.replaceAll("|", "/")).join("; ");
  const { accepted, returned } = activity?.slots.at(-1) ?? noMail;
  const figures = {
    queue: queue.messages,
    held: queue.held,
    sessions: relay?.sessions ?? 0,
    accepted_last_hour: accepted,
    returned_last_hour: returned,
  };
  const performance = Object.entries(figures).map(([key, value]) => `${key}=${value};;;0`);
  return { status, text: `STATUS ${name} - ${visible(words)} | ${performance.join(" ")}\n` };
}
