/** What is said, to whom, and where it ends: from options to the plan's protocol and its --dump section. */
import type { Protocol, Stop } from "../plan.ts";
import type { Answers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { Section } from "./section.ts";
import { needsNoRecipient, stopOf } from "./stops.ts";

/** What the name of a protocol says (RFC 3848 has most of them). */
export interface Dialect {
  readonly core: Protocol["core"];
  readonly auth?: true;
  readonly tls?: "starttls" | "on-connect";
  readonly port?: number;
}

const dialects: Readonly<Record<string, Dialect>> = {
  SMTP: { core: "smtp" },
  SMTPS: { core: "smtp", tls: "on-connect" },
  SSMTP: { core: "esmtp", tls: "on-connect" },
  SSMTPA: { core: "esmtp", tls: "on-connect", auth: true },
  ESMTP: { core: "esmtp" },
  ESMTPA: { core: "esmtp", auth: true },
  ESMTPS: { core: "esmtp", tls: "starttls" },
  // Authentication under TLS is submission, which has a port of its own (RFC 6409 section 3.1); swaks takes 25.
  ESMTPSA: { core: "esmtp", tls: "starttls", auth: true, port: 587 },
  LMTP: { core: "lmtp" },
  LMTPA: { core: "lmtp", auth: true },
  LMTPS: { core: "lmtp", tls: "starttls" },
  LMTPSA: { core: "lmtp", tls: "starttls", auth: true },
};

/** What --protocol says; ESMTP without it. */
export async function dialectOf(answers: Answers): Promise<Dialect> {
  const name = await answers.text("protocol");
  const dialect = dialects[(name ?? "ESMTP").toUpperCase()];
  if (dialect === undefined) throw mistake(`Unknown protocol ${name} specified, exiting`);
  return dialect;
}

/** Where to connect if no option says so; `beginning` is how TLS begins. */
export function standardPort({ core, port, tls }: Dialect, beginning: Dialect["tls"]): number {
  if (core === "lmtp") return 24; // IANA's "Private mail system", where swaks looks for LMTP
  if (beginning === "on-connect") return 465; // RFC 8314 section 3.3
  return tls === "starttls" ? (port ?? 25) : 25;
}

/** How the defaults are known. */
export interface LocalNames {
  /** This host's, with its domain where it has one. */
  readonly host: string;
  /** The account that runs the program. */
  readonly account: string;
  /** $LOGNAME. */
  readonly logname?: string;
}

/** The envelope as typed, for the tokens of the message. */
export interface Addresses {
  readonly from: string;
  readonly to: string;
  readonly cc: string;
  readonly bcc: string;
}

export async function addressesOf(answers: Answers, names: LocalNames, mayLack: boolean): Promise<Addresses> {
  const user = answers.has("force-getpwuid") ? names.account : (names.logname ?? names.account);
  const from = (await answers.text("from")) || `${user}@${names.host}`;
  const cc = (await answers.text("cc")) ?? "";
  const bcc = (await answers.text("bcc")) ?? "";
  const given = (await answers.text("to")) ?? "";
  const wanted = given === "" && cc === "" && bcc === "" && !mayLack;
  const to = wanted ? await answers.ask("To: ", false, /^.+$/) : given;
  return { from: from === "<>" ? "" : from, to, cc, bcc };
}

export interface Stops {
  readonly quitAfter?: Stop;
  readonly dropAfter?: Stop;
  readonly dropAfterSend?: Stop;
}

/** The stops that options name; only what drops may name DATA and the dot. */
export async function stopsOf(answers: Answers): Promise<Stops> {
  async function named(name: "quit-after" | "drop-after" | "drop-after-send"): Promise<Stop | undefined> {
    const text = await answers.text(name);
    if (text === undefined) return undefined;
    if (text === "") throw mistake(`Option processing error: option ${name} specified with no argument`);
    const stop = stopOf(text);
    if (stop !== undefined && !(name === "quit-after" && (stop === "DATA" || stop === "DOT"))) return stop;
    throw mistake(`Unknown ${name.replaceAll("-", "_")} value ${text}, exiting`);
  }
  const quitAfter = await named("quit-after");
  const dropAfter = await named("drop-after");
  const dropAfterSend = await named("drop-after-send");
  return {
    ...(quitAfter && { quitAfter }),
    ...(dropAfter && { dropAfter }),
    ...(dropAfterSend && { dropAfterSend }),
  };
}

export const endsBeforeRecipients = (stops: Stops): boolean =>
  Object.values(stops).some((stop: Stop) => needsNoRecipient(stop));

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Seconds; 0 for ever. */
export async function timeoutOf(answers: Answers): Promise<number> {
  const text = await answers.text("timeout");
  if (text === undefined) return 30;
  const [, digits, unit = "s"] = /^(\d+)([smh]?)$/i.exec(text) ?? [];
  if (digits === undefined) throw mistake(`Unknown timeout format '${text}'`);
  return Number(digits) * (units[unit.toLowerCase()] ?? 1);
}

export interface Said {
  readonly dialect: Dialect;
  readonly addresses: Addresses;
  readonly stops: Stops;
  readonly helo: string;
  /** Seconds. */
  readonly timeout: number;
}

/** All recipients as the transcript's `to` has them. */
const recipients = ({ to, cc, bcc }: Addresses): string =>
  [to, cc, bcc].filter((list) => list !== "").join(",");

/** The addresses of a list; a comma inside quotes is part of one. */
const addressesIn = (list: string): readonly string[] =>
  (list.match(/(?:[^",]|"(?:[^"\\]|\\.)*"|")+/g) ?? [])
    .map((address) => address.trim())
    .filter((address) => address !== "");

export async function protocolOf(answers: Answers, said: Said): Promise<Protocol> {
  const lists = async (name: "mail-parameter" | "rcpt-parameter" | "raw-line"): Promise<string[]> => {
    const texts: string[] = [];
    for (const choice of answers.choices.all)
      if (choice.name === name) texts.push((await answers.textOf(choice)) ?? "");
    return texts;
  };
  const chunk = await numberOf(answers, "chunk", Number.MAX_SAFE_INTEGER);
  const bdat = answers.has("bdat") || chunk !== undefined;
  return {
    core: said.dialect.core,
    helo: said.helo,
    from: said.addresses.from,
    to: addressesIn(recipients(said.addresses)),
    pipeline: answers.has("pipeline"),
    prdr: answers.has("prdr"),
    ...(bdat ? { chunk: chunk ?? Number.MAX_SAFE_INTEGER } : {}),
    mailParameters: await lists("mail-parameter"),
    rcptParameters: await lists("rcpt-parameter"),
    rawLines: (await lists("raw-line")).map(rawLineFrom),
    messages: (await numberOf(answers, "messages", 100_000)) ?? 1,
    timeout: said.timeout * 1000,
    ...said.stops,
  };
}

async function numberOf(
  answers: Answers,
  name: "chunk" | "messages",
  most: number,
): Promise<number | undefined> {
  const text = await answers.text(name);
  if (text === undefined) return undefined;
  const number = /^\d{1,15}$/.test(text) ? Number(text) : 0;
  if (number >= 1 && number <= most) return number;
  throw mistake(`--${name}: expected a whole number of at least 1, found '${text}', exiting`);
}

const escapes: Readonly<Record<string, string>> = { r: "\r", n: "\n", t: "\t", "\\": "\\" };

/** `mail:NOOP`, or `NOOP`, which goes behind EHLO. One character of the line is one octet. */
function rawLineFrom(text: string): { readonly after: Stop; readonly line: string } {
  const [, name = "", rest = ""] = /^([A-Za-z-]+):(.*)$/s.exec(text) ?? [];
  const after = stopOf(name);
  const octets = Buffer.from(after === undefined ? text : rest).toString("latin1");
  const line = octets.replace(/\\(?:x([0-9a-fA-F]{2})|([rnt\\]))/g, (_, hex?: string, letter = "") =>
    hex === undefined ? (escapes[letter] ?? "") : String.fromCharCode(Number.parseInt(hex, 16)),
  );
  return { after: after ?? "HELO", line };
}

/** The lines of `--dump PROTOCOL`. */
export function protocolSection(
  answers: Answers,
  { dialect, addresses, stops, helo, timeout }: Said,
): Section {
  const flag = (name: "pipeline" | "prdr" | "force-getpwuid"): string =>
    answers.has(name) ? "TRUE" : "FALSE";
  const shown = (stop: Stop | undefined): string => stop?.toLowerCase() ?? "";
  return {
    title: "Protocol Info",
    lines: [
      ["protocol", dialect.core],
      ["helo", helo],
      ["from", addresses.from],
      ["to", recipients(addresses)],
      ["force getpwuid", flag("force-getpwuid")],
      ["quit after", shown(stops.quitAfter)],
      ["drop after", shown(stops.dropAfter)],
      ["drop after send", shown(stops.dropAfterSend)],
      ["server_only", endsBeforeRecipients(stops) ? "TRUE" : "FALSE"],
      ["timeout", String(timeout)],
      ["pipeline", flag("pipeline")],
      ["prdr", flag("prdr")],
    ],
  };
}
