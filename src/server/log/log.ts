/**
 * The mail log. One function, `log(event, fields)`, that any part of the server may call;
 * where the lines go is decided once, by `serve` (sinks are in sink.ts).
 */
import { type EventName, events, type FieldsOf, type LogLevel } from "./events.ts";
import type { Shorten } from "./privacy.ts";

/** One event, ready to be written in either format. */
export interface LogEntry {
  readonly event: EventName;
  readonly level: LogLevel;
  /** `submission/smtpd`, `qmgr`: what follows `postfix/` in the tag. */
  readonly daemon: string;
  /** In Postfix's format. */
  readonly text: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export type LogSink = (entry: LogEntry) => void;

let sink: LogSink = () => undefined;
let shorten: Shorten | undefined;
let banSink: LogSink | undefined;

/**
 * Sends all later entries to `next`; `toBan` gets those that fail2ban counts as well, always with the client's whole
 * address. Tests and `serve` call it; nothing else does.
 */
export function logTo(next: LogSink, toBan?: LogSink): void {
  sink = next;
  banSink = toBan;
}

/** From now on, personal data in all entries are shortened by `next`. */
export function shortenBy(next: Shorten | undefined): void {
  shorten = next;
}

/** Logs that `event` happened. */
export function log<Name extends EventName>(event: Name, fields: FieldsOf<Name>): void {
  sink(entryOf(event, fields));
  if (banSink !== undefined && isCounted(event, fields)) banSink(entryOf(event, fields, true));
}

/** Whether fail2ban's filter "postfix" may count it, in one of its modes: passwords, and what is refused before a login. */
function isCounted(event: EventName, fields: object): boolean {
  return (
    event === "auth-failed" || (event === "reject" && !("login" in fields && fields.login !== undefined))
  );
}

/**
 * The entry of `event`. Control characters and forged tags in any field, a client's or a server's, are replaced here, and
 * personal data are shortened; `keepClient` leaves the address of the client.
 */
export function entryOf<Name extends EventName>(
  event: Name,
  fields: FieldsOf<Name>,
  keepClient = false,
): LogEntry {
  const { daemon, level, text } = events[event] as {
    daemon: string;
    level: LogLevel;
    text: (fields: unknown) => string;
  };
  const readable = printable(
    fields,
    daemon === "master" ? Number.POSITIVE_INFINITY : longestText,
  ) as Readonly<Record<string, unknown>>;
  const clean = shorten === undefined ? readable : shorten(event, readable, keepClient);
  const listener = daemon === "smtpd" ? `${String(clean["door"])}/` : "";
  return { event, level, daemon: `${listener}${daemon}`, text: text(clean), fields: clean };
}

/** The lines of `text` that are not blank, joined by `between`. */
export function onOneLine(text: string, between: string): string {
  return text
    .split("\n")
    .map((line) => line.trim())
    .filter((line) => line !== "")
    .join(between);
}

/** Logs a bug of the program, with its stack in one line. */
export function logBug(where: string, error: unknown): void {
  const stack = error instanceof Error ? (error.stack ?? error.message) : String(error);
  log("bug", { where, stack: onOneLine(stack, " | ") });
}

// C0, DEL, C1, line and paragraph separators, what reverses the direction of text, and the colon that would end a
// tag of syslog, "postfix/smtpd[1]: ", which a quoted local part may hold.
const unprintable =
  /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u200e\u200f\u202a-\u202e\u2066-\u2069]|(?<=\[\d+\]):(?= )/;
const everyUnprintable = new RegExp(unprintable, "g");

/** Characters of a field that others chose, and of a login, which may be anything before it is checked. Our choice. */
const longestText = 2_000;
const longestLogin = 255;

function printable(given: unknown, longest: number): unknown {
  const value = typeof given === "string" && given.length > longest ? `${given.slice(0, longest)}…` : given;
  if (typeof value === "string") {
    return unprintable.test(value) ? value.replace(everyUnprintable, "?") : value; // the test comes first: most texts have nothing to replace
  }
  if (typeof value !== "object" || value === null) return value;
  if (Array.isArray(value)) return value.map((inner) => printable(inner, longest));
  const fields = value as Readonly<Record<string, unknown>>;
  let clean: Record<string, unknown> | undefined; // made only where something is replaced
  for (const key of Object.keys(fields)) {
    const inner = fields[key];
    if (typeof inner === "number") continue;
    const shown = printable(inner, key === "login" ? longestLogin : longest);
    if (shown === inner) continue;
    clean ??= { ...fields };
    clean[key] = shown;
  }
  return clean ?? fields;
}
