/** The screen of `status`, its line for Nagios, and its JSON. */
import { visible, wrapped } from "../../cli/output.ts";
import type { Paint } from "../../cli/terminal.ts";
import type { QueueHost, SigningKeyState } from "../../server/control/protocol.ts";
import { type MailCounts, noMail, sumOf } from "../../server/history/activity.ts";
import type { ProviderSummary } from "../../server/history/providers.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { formatReply } from "../../smtp/reply.ts";
import { ageText, plural, sizeText } from "../queue/output.ts";
import { momentText } from "../trace/text.ts";
import type { StatusChecks } from "./checks.ts";
import { mostShown, type StatusFacts } from "./facts.ts";
import { lineOf, type StatusFinding } from "./judge.ts";

/** Characters of a name at the beginning of a line. */
const named = 16;

/** The screen, lines without their ends, at most `width` characters each. */
export function* screen(
  facts: StatusFacts,
  found: readonly StatusFinding[],
  paint: Paint,
  width: number,
): Generator<string> {
  const cut = (text: string) => shortened(text, width);
  const state =
    found.length === 0
      ? paint("green", "well")
      : paint(colourOf(found), `${plural(found.length, "thing")} to look at`);
  yield `${paint("bold", facts.hostname)}: ${state}, ${momentText(facts.at)}`;
  for (const finding of found) {
    const colour = finding.grade === "critical" ? "red" : "yellow";
    for (const [index, line] of wrapped(visible(lineOf(finding)), width - 4).entries())
      yield paint(colour, `${index === 0 ? "  ! " : "    "}${line}`);
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
  yield* hostRows(facts);
  yield* pauseRows(facts, width);
  yield* mailRows(facts);
  yield* providerRows(facts);
  yield* domainRows(facts);
  yield* loginRows(facts);
  yield* unjudgedRows(facts);
}

/** What of the checks is not known: that they found nothing does not say that it is well. */
export function* unjudgedRows({ checks }: StatusFacts): Generator<StatusRow> {
  const unjudged = checks?.unjudged ?? [];
  if (unjudged.length > 0) yield ["not judged", unjudged.map(unjudgedText).join("; ")];
}

const unjudgedText = ({ check, reason }: StatusChecks["unjudged"][number]): string =>
  reason === "" ? check : `${check}: ${reason}`;

export function* relayRows(facts: StatusFacts): Generator<StatusRow> {
  const { relay, passwords, domains = [], at } = facts;
  const { file, written, fault } = passwords;
  if (relay !== undefined) {
    const { version, started, sessions, listeners, memory, loopDelay, certificateUntil, free } = relay;
    yield ["relay", `tpa-submit ${version}, up ${ageText(at - started)}, ${plural(sessions, "session")}`];
    const doors = listeners.map((one) => `${one.door} ${one.address}`.trimEnd());
    yield ["", doors.length === 0 ? "listens nowhere" : `listens for ${doors.join(", ")}`];
    yield ["", `memory ${sizeText(memory)}, ${(loopDelay * 1000).toFixed(0)} ms until somebody's turn`];
    if (free !== null)
      yield ["disk", `${sizeText(free.octets)} and ${free.inodes} inodes left for the spool`];
    yield [
      "certificate",
      certificateUntil === 0 ? "none" : `${Math.floor((certificateUntil - at) / 86_400_000)} days left`,
    ];
    yield* keyRows(relay.dkim ?? [], at);
  }
  const logins = relay === undefined ? "" : `${plural(relay.logins, "login")}, `;
  yield ["passwords", fault ?? `${logins}${file} written ${ageText(at - (written ?? 0))} ago`];
  for (const { name, passwords: own } of domains.slice(1))
    yield ["", `${name}: ${own.fault ?? `${own.file} written ${ageText(at - (own.written ?? 0))} ago`}`];
  yield* sshRows(facts);
}

/** The keys of those who send by SSH, where there is a file of them. */
function* sshRows({ sshKeys, at }: StatusFacts): Generator<StatusRow> {
  if (sshKeys === undefined) return;
  const { file, written = 0, keys, logins, fault } = sshKeys;
  const words = `${plural(keys, "key")} of ${plural(logins, "login")}, ${file} written ${ageText(at - written)} ago`;
  yield ["SSH keys", fault ?? words];
}

function* domainRows({ domains = [] }: StatusFacts): Generator<StatusRow> {
  const parts = domains.flatMap(({ name, sent }) =>
    sent ? [`${name} ${plural(sent.messages, "message")} to ${plural(sent.recipients, "recipient")}`] : [],
  );
  if (parts.length > 0) yield ["24 hours, from", parts.join(", ")];
}

/** A row for each domain whose mail is signed. */
function* keyRows(keys: readonly SigningKeyState[], at: number): Generator<StatusRow> {
  const domains = [...new Set(keys.map(({ domain }) => domain))].slice(0, mostShown);
  for (const [number, domain] of domains.entries()) {
    const own = keys.filter((key) => key.domain === domain);
    const shown = own.map(({ selector, made }) => `${selector} ${ageText(at - made)} old`).join(", ");
    yield [number === 0 ? "DKIM" : "", `${domain}: ${shown}`];
  }
}

export function* queueRows({ queue, at }: StatusFacts, width: number): Generator<StatusRow> {
  const { messages, held, oldest, destinations, fault } = queue;
  if (fault !== undefined) {
    yield ["queue", "not known"];
    return;
  }
  const age = oldest === undefined ? "" : `, the oldest ${ageText(at - oldest)}`;
  yield ["queue", `${plural(messages, "message")}${held === 0 ? "" : `, ${held} held`}${age}`];
  for (const { domain, recipients, oldest: since, reply } of destinations) {
    const known = reply && explainReply(reply, reply.relay);
    const why = known?.meaning ?? (reply === undefined ? "not tried yet" : formatReply(reply));
    const start = `${domain} ${recipients}, ${ageText(at - since)}: `;
    yield ["", shortened(`${start}${why}`, Math.max(start.length + 20, width))];
  }
}

/** The database that hosts share, and each of them. */
export function* hostRows({ relay, hosts = [], at }: StatusFacts): Generator<StatusRow> {
  if (relay?.store !== undefined) {
    const { url, there, since, reason } = relay.store;
    const why = reason === undefined ? "" : `: ${reason}`;
    yield ["store", `${url}, ${there ? "there" : "away"} since ${ageText(at - since)}${why}`];
  }
  for (const [index, host] of hosts.entries()) yield [index === 0 ? "hosts" : "", hostText(host, at)];
}

function hostText(
  { name, mark, seen, live, draining, waiting, version, own }: QueueHost,
  at: number,
): string {
  const state = live
    ? `${plural(waiting, "message")}${draining ? ", draining" : ""}, seen ${ageText(at - (seen ?? at))} ago`
    : seen === null
      ? "never seen"
      : `gone, last seen ${ageText(at - seen)} ago${waiting === 0 ? "" : `, ${plural(waiting, "message")} not taken over yet`}`;
  return `${name}${own ? " (this host)" : ""}: ${state}${version === "" ? "" : `, version ${version}`}, mark ${mark}`;
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
  for (const name of countNames) {
    if (name !== "accepted" && name !== "returned" && slots.every((slot) => slot[name] === 0)) continue;
    const key = name === "accepted" ? "  an hour each, the last on the right" : "";
    yield [`  ${name}`, `${bars(slots.map((slot) => slot[name]))}${key}`];
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
  for (const provider of providers) {
    const { name, delivered, deferred, refused, delay, reasons } = provider;
    const cells = [
      ...[delivered, deferred, refused].map(String),
      ...[delay?.median, delay?.percentile95].map(delayText),
      securedText(provider),
    ];
    const [why] = reasons;
    const line = cells.map((cell, index) => cell.padStart(providerColumns[index]?.[1] ?? 0)).join("");
    yield [
      `  ${shortened(name, named - 3)}`,
      why === undefined ? line : `${line}  ${why.times} ${why.class}`,
    ];
  }
}

/** How many of those delivered went out with TLS. */
export const securedText = ({ delivered, tls }: ProviderSummary): string =>
  delivered === 0 ? "-" : `${Math.floor((1 - tls.clear / delivered) * 100)} %`;

const shortened = (text: string, room: number): string =>
  text.length > room ? `${text.slice(0, room - 1)}…` : text;

export function delayText(seconds: number | undefined): string {
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

export function* loginRows({ top, relay, frozen, blocked, activity }: StatusFacts): Generator<StatusRow> {
  if (top.length > 0) {
    yield ["top logins", top.map(({ login, recipients }) => `${login} ${recipients}`).join(", ")];
  }
  for (const { login, used, limit, unit } of relay?.nearLimits ?? []) {
    yield ["near a limit", `${login}: ${used} of ${limit} ${unit}`];
  }
  if (frozen.length > 0) yield ["frozen", frozen.join(", ")];
  for (const { login, blocks: own } of blocked) {
    const until = momentText(Math.max(...own.map((block) => block.until))).slice(11);
    yield ["blocked", `${login} from ${own.map(({ network }) => network).join(", ")} until ${until}`];
  }
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
  { queue, relay, activity, checks, hosts }: StatusFacts,
  found: readonly StatusFinding[],
): { readonly text: string; readonly status: number } {
  const status = found.some(({ grade }) => grade === "critical") ? 2 : found.length > 0 ? 1 : 0;
  const name = ["OK", "WARNING", "CRITICAL"][status] ?? "";
  const unjudged = (checks?.unjudged ?? []).map(({ check }) => check);
  const words = [
    ...(found.length === 0 ? ["the relay is well"] : found.map(({ text }) => text)),
    ...(unjudged.length === 0 ? [] : [`not judged: ${unjudged.join(", ")}`]),
  ].join("; ");
  const { accepted, returned } = activity?.slots.at(-1) ?? noMail;
  const figures = {
    queue: queue.messages,
    held: queue.held,
    sessions: relay?.sessions ?? 0,
    accepted_last_hour: accepted,
    returned_last_hour: returned,
    ...(hosts && { hosts: hosts.filter(({ live }) => live).length }),
  };
  const performance = Object.entries(figures).map(([key, value]) => `${key}=${value};;;0`);
  return {
    status,
    text: `STATUS ${name} - ${visible(words).replaceAll("|", "/")} | ${performance.join(" ")}\n`,
  };
}
