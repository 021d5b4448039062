/**
 * How an entry of the log is written down: in the shape that syslog gives to Postfix's lines, or as JSON.
 */
import type { Level } from "./events.ts";
import type { Entry } from "./log.ts";

export type Format = "postfix" | "json";

/** An entry on its way to a destination. */
export interface Line {
  readonly level: Level;
  /** Who speaks: `postfix/submission/smtpd`. */
  readonly tag: string;
  /** What stands behind the tag. */
  readonly text: string;
  /** The line as it stands in a file, without the line end. */
  readonly whole: string;
  /** Queue IDs of the messages that it is about. */
  readonly messages: readonly string[];
}

/** `pid` and `hostname` stand in each line, as syslog would put them there. */
export interface Speaker {
  readonly hostname: string;
  readonly pid: number;
}

/** Writes `entry`, which happened at `at` (milliseconds since the epoch). */
export function lineOf(entry: Entry, at: number, format: Format, speaker: Speaker): Line {
  return format === "json" ? jsonLine(entry, at) : postfixLine(entry, at, speaker);
}

function postfixLine({ level, daemon, text, fields }: Entry, at: number, speaker: Speaker): Line {
  const tag = `postfix/${daemon}`;
  const marked = level === "info" ? text : `${level}: ${text}`;
  return {
    level,
    tag,
    text: marked,
    whole: syslogLine(tag, marked, at, speaker),
    messages: messagesOf(fields),
  };
}

function jsonLine({ level, daemon, event, fields }: Entry, at: number): Line {
  const text = JSON.stringify({ time: new Date(at).toISOString(), level, daemon, event, ...fields });
  return { level, tag: "tpa-submit", text, whole: text, messages: messagesOf(fields) };
}

const messagesOf = ({ id, report }: Entry["fields"]): readonly string[] =>
  [id, report].filter((one) => typeof one === "string");

/** A line as rsyslog's traditional format has it; RFC 3164 section 4.1 without the priority in front. */
export function syslogLine(tag: string, text: string, at: number, { hostname, pid }: Speaker): string {
  return `${stamp(at)} ${hostname} ${tag}[${pid}]: ${text}`;
}

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/** "Nov  2 03:02:46", local time: fail2ban and mtail compare it with the clock of the host. */
function stamp(at: number): string {
  const date = new Date(at);
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()];
  const time = clock.map((part) => String(part).padStart(2, "0")).join(":");
  return `${months[date.getMonth()]} ${String(date.getDate()).padStart(2)} ${time}`;
}
