/**
 * The events in a mail log: Postfix's lines, as we and Postfix itself write them, with the stamps of syslog or of RFC
 * 3339, and our lines of JSON. So `trace` can also tell of the time before the history, and of the Postfix before us.
 */
import { createReadStream, type ReadStream } from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import {
  type HistoryEvent,
  keptFields,
  type LoggedEvent,
  newEventComposer,
} from "../../server/history/event.ts";
import { parseReply, type Reply, reply } from "../../smtp/reply.ts";
import type { EventSource } from "./search.ts";

/** The mail logs `files`, oldest first or not; `now` tells the year of a stamp that has none. */
export function mailLogSource(files: readonly string[], now: number): EventSource {
  async function* read(span: {
    readonly since: number;
    readonly until: number;
  }): AsyncGenerator<HistoryEvent> {
    for (const file of files) {
      for await (const event of eventsInLog(linesOf(file), now)) {
        if (event.at >= span.since && event.at < span.until) yield event;
      }
    }
  }
  return {
    with: (_, span) => read(span),
    async *of(ids, span) {
      for await (const event of read(span)) if ("id" in event && ids.has(event.id ?? "")) yield event;
    },
  };
}

/** Characters of a line; a longer one is none of a mail log, and is skipped. Our choice: 30 times what we write at most. */
const longestLine = 65_536;

/**
 * Times that a compressed file may grow, once it is larger than `smallest` octets. Our choice: a mail log grows by 10 to
 * 30, gzip can do 1032, and 200 GB out of 200 MB are a trap.
 */
const mostGrowth = 300;
const smallest = 256 * 2 ** 20;

/** Throws a Failure where `file` cannot be read. Compressed by gzip, as logrotate leaves it, it ends in ".gz". */
async function* linesOf(file: string): AsyncGenerator<string> {
  const octets = createReadStream(file);
  try {
    if (!file.endsWith(".gz")) yield* linesIn(octets);
    else yield* linesIn(unpacked(file, octets));
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${file}: ${errorText(error)}`, { cause: error });
  } finally {
    octets.destroy();
  }
}

async function* unpacked(file: string, octets: ReadStream): AsyncGenerator<Buffer> {
  const text: AsyncIterable<Buffer> = pipeline(octets, createGunzip(), () => undefined);
  let size = 0;
  for await (const piece of text) {
    size += piece.length;
    if (size > smallest && size > mostGrowth * octets.bytesRead) {
      const words = `it unpacks to more than ${mostGrowth} times its size, which no mail log does`;
      throw new Failure(exitStatus.data, `${file}: ${words}; unpack it yourself if you trust it`);
    }
    yield piece;
  }
}

/** The lines in `octets`, without those that are too long: so memory is bounded, whatever is read. */
export async function* linesIn(octets: AsyncIterable<Buffer>): AsyncGenerator<string> {
  const decoder = new TextDecoder();
  let rest = "";
  let isTooLong = false;
  for await (const piece of octets) {
    const lines = (rest + decoder.decode(piece, { stream: true })).split("\n");
    rest = lines.pop() ?? "";
    for (const line of lines) {
      if (!isTooLong && line.length <= longestLine) yield line.endsWith("\r") ? line.slice(0, -1) : line;
      isTooLong = false;
    }
    if (rest.length <= longestLine) continue;
    rest = "";
    isTooLong = true;
  }
  if (rest !== "" && !isTooLong) yield rest;
}

/** The events of `lines`; a line that tells of none, or is none of a mail log, is passed over. */
export async function* eventsInLog(lines: AsyncIterable<string>, now: number): AsyncGenerator<HistoryEvent> {
  const compose = newEventComposer();
  for await (const line of lines) {
    const found = line.startsWith("{") ? inJson(line) : inPostfixLine(line, now);
    const event = found && compose(found, found.at);
    if (event !== undefined) yield event;
  }
}

type StampedEvent = LoggedEvent & { readonly at: number };

function inJson(line: string): StampedEvent | undefined {
  try {
    const { time, event, ...fields } = JSON.parse(line) as Readonly<Record<string, unknown>>;
    const at = typeof time === "string" ? Date.parse(time) : Number.NaN;
    return typeof event === "string" && !Number.isNaN(at) && isSound(event, fields)
      ? { at, event, fields }
      : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const numbers = new Set(["size", "recipients", "sessions", "held", "released", "stillHeld", "waiting"]);
const optional = new Set(["id", "door", "login", "tls"]);

/** Whether what is kept of `event` is what we write: anybody may have written into a log that came from elsewhere. */
function isSound(event: string, fields: Readonly<Record<string, unknown>>): boolean {
  if (!Object.hasOwn(keptFields, event)) return false;
  return keptFields[event as keyof typeof keptFields].every((name) => {
    const value = fields[name];
    if (value === undefined) return optional.has(name);
    if (name === "reply") return isReply(value);
    if (name === "delays") return Array.isArray(value) && value.length <= 4 && value.every(Number.isFinite);
    return typeof value === (numbers.has(name) ? "number" : "string");
  });
}

function isReply(value: unknown): boolean {
  if (typeof value !== "object" || value === null) return false;
  const { code, status, text } = value as Readonly<Record<string, unknown>>;
  return typeof code === "number" && typeof status === "string" && typeof text === "string";
}

/** Stamp, host, then `postfix/submission/smtpd[123]: ` or the same of another instance, then the text. */
const header =
  /^(\S{20,40}|[A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d) \S{1,255} postfix[\w-]{0,40}(?:\/[\w-]{1,40}){0,2}\/([\w-]{1,40})\[\d{1,10}\]: (?:warning: )?(.*)$/;

/** What journald or rsyslog put before the header of a relay that logged to standard output. */
const outerHeader = /^\S.{1,60}? \S{1,255} tpa-submit\[\d{1,10}\]: /;

function inPostfixLine(line: string, now: number): StampedEvent | undefined {
  const [, stamp = "", daemon = "", text = ""] = header.exec(line.replace(outerHeader, "")) ?? [];
  const at = momentOf(stamp, now);
  if (at === undefined) return undefined;
  for (const [daemons, pattern, read] of lines) {
    const found = daemons.test(daemon) ? pattern.exec(text) : null;
    if (found) return { at, ...read(found.groups ?? {}, daemon) };
  }
  return undefined;
}

/** Milliseconds since the epoch. A stamp without a year is of the last year in which it is not in the future. */
function momentOf(stamp: string, now: number): number | undefined {
  if (stamp === "") return undefined;
  const year = new Date(now).getFullYear();
  const at = /^\d/.test(stamp) ? Date.parse(stamp) : Date.parse(`${stamp} ${year}`);
  if (Number.isNaN(at)) return undefined;
  if (/^\d/.test(stamp) || at <= now + 86_400_000) return at;
  return Date.parse(`${stamp} ${year - 1}`);
}

type Groups = Readonly<Record<string, string>>;
type LineReader = readonly [
  daemons: RegExp,
  text: RegExp,
  read: (found: Groups, daemon: string) => LoggedEvent,
];

/** The lines of Postfix that the history has events for. */
const lines: readonly LineReader[] = [
  [
    /smtpd$/,
    /^(?<id>\w{6,20}): client=(?<client>[^,]*), sasl_method=(?<mechanism>[^,]*), sasl_username=(?<login>[^,]*)/,
    ({ id, client, mechanism, login }) => ({ event: "client", fields: { id, client, mechanism, login } }),
  ],
  [
    /^cleanup$/,
    /^(?<id>\w{6,20}): message-id=<?(?<messageId>[^>]*)>?$/,
    ({ id, messageId }) => ({ event: "message-id", fields: { id, messageId } }),
  ],
  [
    /^qmgr$/,
    /^(?<id>\w{6,20}): from=<(?<from>[^>]*)>, size=(?<size>\d{1,15}), nrcpt=(?<recipients>\d{1,9}) /,
    ({ id, from, size, recipients }) => ({
      event: "queued",
      fields: { id, from, size: Number(size), recipients: Number(recipients) },
    }),
  ],
  [
    /./,
    /^(?<id>\w{6,20}): to=<(?<to>[^>]*)>, (?:orig_to=<[^>]*>, )?relay=(?<relay>[^,]*), .{0,80}?delays=(?<delays>[\d./]{1,80}), dsn=(?<dsn>[\d.]{1,12}), status=(?<result>\w{1,20}) \((?<reason>.*)\)$/,
    ({ id, to, relay, delays = "", dsn = "", result = "", reason = "" }) => ({
      event: "delivery",
      fields: { id, to, relay, delays: delays.split("/").map(Number), ...answerIn(reason, dsn, result) },
    }),
  ],
  [/^qmgr$/, /^(?<id>\w{6,20}): removed$/, ({ id }) => ({ event: "removed", fields: { id } })],
  [
    /^qmgr$/,
    /^(?<id>\w{6,20}): from=<(?<from>[^>]*)>, status=expired/,
    ({ id, from }) => ({ event: "expired", fields: { id, from } }),
  ],
  [
    /^bounce$/,
    /^(?<id>\w{6,20}): sender (?<kind>non-delivery|delay|delivery status) notification: (?<report>\w{6,20})$/,
    ({ id, kind, report }) => ({
      event:
        kind === "delay" ? "delay-report" : kind === "non-delivery" ? "failure-report" : "success-report",
      fields: { id, report },
    }),
  ],
  [
    /smtpd$/,
    /^(?<client>\S{1,300}): SASL (?<mechanism>[\w-]{1,30}) authentication failed: (?<rest>.*)$/,
    ({ client, mechanism, rest = "" }) => {
      const [reason, login] = cutAtLast(rest, ", sasl_username=");
      return { event: "auth-failed", fields: { client, mechanism, reason, login } };
    },
  ],
  [
    /smtpd$/,
    /^(?<id>NOQUEUE|\w{6,20}): reject: (?<stage>[\w-]{1,30}) from (?<client>\S{1,300}): (?<rest>.*)$/,
    ({ id, stage, client, rest = "" }) => {
      const [said, path] = cutAtLast(rest, "; from=<");
      const [from = "", , to = ""] = /^([^>]*)>( to=<([^>]*)>)?/.exec(path)?.slice(1) ?? [];
      return {
        event: "reject",
        fields: { ...(id !== "NOQUEUE" && { id }), stage, client, reply: parseReply(said), from, to },
      };
    },
  ],
];

/** The reply in the parentheses at the end of a delivery's line. Where nobody said one, it is made of the status. */
function answerIn(
  reason: string,
  dsn: string,
  result: string,
): { readonly reply: Reply; readonly command: string } {
  const words = reason.replace(/^host \S+ said: /, "");
  const [said, answered] = words.endsWith(" command)") ? cutAtLast(words, " (in reply to ") : [words, ""];
  const command = answered.replace(/ command\)$/, "");
  if (/^[2-5]\d\d[ -]/.test(said)) return { reply: parseReply(said), command };
  const code = result === "sent" ? 250 : result === "bounced" || result === "expired" ? 550 : 451;
  return { reply: reply(code, dsn, said), command };
}

/** What stands before and after the last `mark`; all of it before where there is none. */
function cutAtLast(text: string, mark: string): readonly [before: string, after: string] {
  const at = text.lastIndexOf(mark);
  return at < 0 ? [text, ""] : [text.slice(0, at), text.slice(at + mark.length)];
}
