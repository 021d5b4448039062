/** How an entry of the log becomes a line: as syslog writes Postfix's lines, or as JSON. */
import type { LogLevel } from "./events.ts";
import type { LogEntry } from "./log.ts";

export type LogFormat = "postfix" | "json";

/** An entry on its way to a destination. */
export interface LogLine {
  readonly level: LogLevel;
  /** When it happened, in milliseconds since the epoch. */
  readonly at: number;
  /** The program: `postfix/submission/smtpd`. */
  readonly tag: string;
  /** What follows the tag. */
  readonly text: string;
  /** The line as it stands in a file, without the line end. */
  readonly whole: string;
  /** Queue IDs of the messages that it is about. */
  readonly messages: readonly string[];
}

/** Host and process, in each line, as syslog would add them. */
export interface LogSource {
  readonly hostname: string;
  readonly pid: number;
}

/** Writes `entry`, which happened at `at` (milliseconds since the epoch). */
export function lineOf(entry: LogEntry, at: number, format: LogFormat, source: LogSource): LogLine {
  return format === "json" ? jsonLine(entry, at) : postfixLine(entry, at, source);
}

function postfixLine({ level, daemon, text, fields }: LogEntry, at: number, source: LogSource): LogLine {
  const tag = `postfix/${daemon}`;
  const marked = level === "info" ? text : `${level}: ${text}`;
  return {
    level,
    at,
    tag,
    text: marked,
    whole: syslogLine(tag, marked, at, source),
    messages: messagesOf(fields),
  };
}

function jsonLine({ level, daemon, event, fields }: LogEntry, at: number): LogLine {
  const text = JSON.stringify({ time: new Date(at).toISOString(), level, daemon, event, ...fields });
  return { level, at, tag: "tpa-submit", text, whole: text, messages: messagesOf(fields) };
}

function messagesOf({ id, report }: LogEntry["fields"]): readonly string[] {
  const messages: string[] = [];
  if (typeof id === "string") messages.push(id);
  if (typeof report === "string") messages.push(report);
  return messages;
}

/** sd-daemon(3) levels, which are those of syslog. */
export const severity = { info: 6, warning: 4, error: 3 } as const;

/** RFC 3164 section 4.1.1: facility "mail". */
export const mail = 2;

/** What stands in front of a message of syslog: `<22>` has 22. */
export const priorityOf = (level: LogLevel): number => 8 * mail + severity[level];

/** A line as rsyslog's traditional format has it; RFC 3164 section 4.1 without the priority in front. */
export function syslogLine(tag: string, text: string, at: number, { hostname, pid }: LogSource): string {
  return `${timestamp(at)} ${hostname} ${tag}[${pid}]: ${text}`;
}

/**
 * What syslog(3) sends to /dev/log: a priority in front, and no host, since the daemon there knows its own. Not longer
 * than rsyslog takes by default, 8 KB.
 */
export function localSyslogLine({ level, tag, text, at }: LogLine, pid: number): string {
  const line = `<${priorityOf(level)}>${timestamp(at)} ${tag}[${pid}]: ${text}`;
  return Buffer.from(line).subarray(0, longestDatagram).toString();
}

/** What rsyslog takes by default, with some room for the header. */
export const longestDatagram = 8000;

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "Nov  2 03:02:46", local time: fail2ban and mtail compare it with the clock of the host. */
function timestamp(at: number): string {
  const second = Math.floor(at / 1000);
  if (second !== last.second) last = { second, text: timestampOf(second) };
  return last.text;
}

/** The last one: most lines have the second of the line before. */
let last = { second: Number.NaN, text: "" };

function timestampOf(second: number): string {
  const date = new Date(second * 1000);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const time = clock.map((part) => String(part).padStart(2, "0")).join(":");
  return `${months[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${time}`;
}
