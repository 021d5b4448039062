/** What is sent, to whom, and where it stops: the options, how they are read into the plan, the --dump section. */
import type { ProtocolPlan, StopPoint } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import { type DumpSection, flag, type OptionGroup } from "./option.ts";

export const protocolOptions = {
  title: "What to say",
  rows: [
    {
      name: "to",
      aliases: ["t"],
      argument: "wanted",
      placeholder: "ADDRESS[,ADDRESS…]",
      prompt: { text: "To: ", pattern: /^.+$/ },
      help: "The recipients of the envelope. Asked for when they are needed and not given.",
      example: "-t bob@example.org,carol@example.org -s mail.example.org",
    },
    {
      name: "cc",
      argument: "wanted",
      placeholder: "ADDRESS[,ADDRESS…]",
      prompt: { text: "Cc: ", pattern: /^.+$/ },
      help: "Further recipients, named in a Cc header.",
      example: "-t bob@example.org --cc carol@example.org -s mail.example.org",
    },
    {
      name: "bcc",
      argument: "wanted",
      placeholder: "ADDRESS[,ADDRESS…]",
      prompt: { text: "Bcc: ", pattern: /^.+$/ },
      help: "Further recipients, named in no header.",
      example: "-t bob@example.org --bcc carol@example.org -s mail.example.org",
    },
    {
      name: "from",
      aliases: ["f"],
      argument: "wanted",
      placeholder: "ADDRESS",
      prompt: { text: "From: " },
      standard: "$LOGNAME@this host's name",
      help: 'The reverse-path; "<>" is the null one.',
      example: "-f alice@example.org -t bob@example.org -s mail.example.org",
    },
    {
      name: "helo",
      aliases: ["ehlo", "lhlo", "h"],
      argument: "wanted",
      placeholder: "NAME",
      prompt: { text: "Helo: " },
      standard: "this host's name",
      help: "The name to give in EHLO, HELO or LHLO.",
      example: "--helo client.example.org -t bob@example.org -s mail.example.org",
    },
    {
      name: "protocol",
      argument: "required",
      placeholder: "NAME",
      standard: "esmtp",
      help: "smtp, esmtp or lmtp. With an S behind it TLS is required, with an A authentication: esmtps, esmtpa, esmtpsa, lmtps, lmtpa, lmtpsa. smtps, ssmtp and ssmtpa use TLS from the first octet.",
      example: "--protocol esmtpsa -t bob@example.org -s mail.example.org -p 587",
    },
    {
      name: "quit-after",
      aliases: ["quit", "q"],
      argument: "required",
      placeholder: "STOP",
      help: "Say QUIT behind a step: proxy, connect (banner), first-helo, xclient, xclient-helo, tls (starttls), helo (ehlo, lhlo), auth, mail (from) or rcpt (to).",
      example: "-t bob@example.org -s mail.example.org --quit-after rcpt",
    },
    {
      name: "drop-after",
      aliases: ["drop", "da"],
      argument: "required",
      placeholder: "STOP",
      help: "Close the connection without QUIT behind a step; also behind data and dot.",
      example: "-t bob@example.org -s mail.example.org --drop-after data",
    },
    {
      name: "drop-after-send",
      aliases: ["das"],
      argument: "required",
      placeholder: "STOP",
      help: "Close the connection when a step's command has been sent, without reading the reply.",
      example: "-t bob@example.org -s mail.example.org --drop-after-send dot",
    },
    {
      name: "timeout",
      argument: "wanted",
      placeholder: "TIME",
      prompt: { text: "Timeout: ", pattern: /^\d+[hHmMsS]?$/ },
      standard: "30s",
      help: "How long to wait for a connection, a TLS handshake and each reply: 5, 5s, 3m or 1h; 0 waits for ever.",
      example: "-t bob@example.org -s mail.example.org --timeout 5s",
    },
    {
      name: "pipeline",
      argument: "none",
      help: "Send MAIL, RCPT and DATA at once where the server offers PIPELINING (RFC 2920).",
      example: "-t bob@example.org -s mail.example.org --pipeline",
    },
    {
      name: "prdr",
      argument: "none",
      help: "Ask for a reply per recipient after the message (PRDR).",
      example: "-t bob@example.org,carol@example.org -s mail.example.org --prdr",
    },
    {
      name: "force-getpwuid",
      argument: "none",
      help: "Take the default sender's name from the account that runs the program, not from $LOGNAME.",
      example: "-t bob@example.org -s mail.example.org --force-getpwuid",
    },
    {
      name: "mail-parameter",
      argument: "required",
      placeholder: "PARAMETER",
      list: true,
      help: "Append a parameter to MAIL: SIZE=100000, BODY=8BITMIME, SMTPUTF8, RET=HDRS, ENVID=x. It may be given again.",
      example: "-t bob@example.org -s mail.example.org --mail-parameter RET=HDRS",
      ours: true,
    },
    {
      name: "rcpt-parameter",
      argument: "required",
      placeholder: "PARAMETER",
      list: true,
      help: "Append a parameter to every RCPT: NOTIFY=SUCCESS,DELAY or ORCPT=rfc822;x. It may be given again.",
      example: "-t bob@example.org -s mail.example.org --rcpt-parameter NOTIFY=SUCCESS",
      ours: true,
    },
    {
      name: "bdat",
      argument: "none",
      help: "Send the message with BDAT instead of DATA (CHUNKING, RFC 3030).",
      example: "-t bob@example.org -s mail.example.org --bdat",
      ours: true,
    },
    {
      name: "chunk",
      argument: "required",
      placeholder: "OCTETS",
      standard: "the whole message",
      help: "The size of each BDAT chunk; it asks for BDAT by itself.",
      example: "-t bob@example.org -s mail.example.org --chunk 1000",
      ours: true,
    },
    {
      name: "messages",
      argument: "required",
      placeholder: "NUMBER",
      standard: "1",
      help: "How many messages to send in one session.",
      example: "-t bob@example.org -s mail.example.org --messages 3",
      ours: true,
    },
    {
      name: "raw-line",
      argument: "required",
      placeholder: "[STOP:]LINE",
      list: true,
      help: "Send a line of your own as it stands, behind the step named (behind helo, if none is): what a broken client would say. \\r, \\n, \\t, \\\\ and \\xHH stand for octets; the line's end is added. It may be given again.",
      example: '-t bob@example.org -s mail.example.org --raw-line "mail:RCPT TO:<bob" -q rcpt',
      ours: true,
    },
  ],
} as const satisfies OptionGroup;

type ProtocolOption = (typeof protocolOptions.rows)[number]["name"];

/** What the name of a protocol means (RFC 3848 has most of them). */
export interface Dialect {
  readonly core: ProtocolPlan["core"];
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

/** The meaning of --protocol; ESMTP without it. */
export async function dialectOf(answers: OptionAnswers<ProtocolOption>): Promise<Dialect> {
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

/** Where defaults come from. */
export interface LocalNames {
  /** This host's, with its domain where it has one. */
  readonly host: string;
  /** The account that runs the program. */
  readonly account: string;
  /** $LOGNAME. */
  readonly logname?: string;
}

/** The envelope as typed, for the tokens of the message. */
export interface EnvelopeAddresses {
  readonly from: string;
  readonly to: string;
  readonly cc: string;
  readonly bcc: string;
}

export async function addressesOf(
  answers: OptionAnswers<ProtocolOption>,
  names: LocalNames,
  mayLack: boolean,
): Promise<EnvelopeAddresses> {
  const user = answers.has("force-getpwuid") ? names.account : (names.logname ?? names.account);
  const from = (await answers.text("from")) || `${user}@${names.host}`;
  const cc = (await answers.text("cc")) ?? "";
  const bcc = (await answers.text("bcc")) ?? "";
  const given = (await answers.text("to")) ?? "";
  const wanted = given === "" && cc === "" && bcc === "" && !mayLack;
  const to = wanted ? await answers.ask("To: ", false, /^.+$/) : given;
  return { from: from === "<>" ? "" : from, to, cc, bcc };
}

export interface StopPoints {
  readonly quitAfter?: StopPoint;
  readonly dropAfter?: StopPoint;
  readonly dropAfterSend?: StopPoint;
}

/** The stops that options name; only what drops may name DATA and the dot. */
export async function stopsOf(answers: OptionAnswers<ProtocolOption>): Promise<StopPoints> {
  async function named(
    name: "quit-after" | "drop-after" | "drop-after-send",
  ): Promise<StopPoint | undefined> {
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

export const endsBeforeRecipients = (stops: StopPoints): boolean =>
  Object.values(stops).some((stop: StopPoint) => needsNoRecipient(stop));

const units: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600 };

/** Seconds; 0 for ever. */
export async function timeoutOf(answers: OptionAnswers<ProtocolOption>): Promise<number> {
  const text = await answers.text("timeout");
  if (text === undefined) return 30;
  const [, digits, unit = "s"] = /^(\d+)([smh]?)$/i.exec(text) ?? [];
  if (digits === undefined) throw mistake(`Unknown timeout format '${text}'`);
  return Number(digits) * (units[unit.toLowerCase()] ?? 1);
}

export interface ChosenProtocol {
  readonly dialect: Dialect;
  readonly addresses: EnvelopeAddresses;
  readonly stops: StopPoints;
  readonly helo: string;
  /** Seconds. */
  readonly timeout: number;
}

/** All recipients as the transcript's `to` has them. */
const recipients = ({ to, cc, bcc }: EnvelopeAddresses): string =>
  [to, cc, bcc].filter((list) => list !== "").join(",");

/** The addresses of a list; a comma inside quotes is part of one. */
const addressesIn = (list: string): readonly string[] =>
  (list.match(/(?:[^",]|"(?:[^"\\]|\\.)*"|")+/g) ?? [])
    .map((address) => address.trim())
    .filter((address) => address !== "");

export async function protocolOf(
  answers: OptionAnswers<ProtocolOption>,
  said: ChosenProtocol,
): Promise<ProtocolPlan> {
  const lists = async (name: "mail-parameter" | "rcpt-parameter" | "raw-line"): Promise<string[]> => {
    const texts: string[] = [];
    for (const { choice } of answers.given(name)) texts.push((await answers.textOf(choice)) ?? "");
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
  answers: OptionAnswers<ProtocolOption>,
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
function rawLineFrom(text: string): { readonly after: StopPoint; readonly line: string } {
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
  answers: OptionAnswers<ProtocolOption>,
  { dialect, addresses, stops, helo, timeout }: ChosenProtocol,
): DumpSection {
  const shown = (stop: StopPoint | undefined): string => stop?.toLowerCase() ?? "";
  return {
    title: "Protocol Info",
    lines: [
      ["protocol", dialect.core],
      ["helo", helo],
      ["from", addresses.from],
      ["to", recipients(addresses)],
      ["force getpwuid", flag(answers.has("force-getpwuid"))],
      ["quit after", shown(stops.quitAfter)],
      ["drop after", shown(stops.dropAfter)],
      ["drop after send", shown(stops.dropAfterSend)],
      ["server_only", flag(endsBeforeRecipients(stops))],
      ["timeout", String(timeout)],
      ["pipeline", flag(answers.has("pipeline"))],
      ["prdr", flag(answers.has("prdr"))],
    ],
  };
}

// The steps that --quit-after, --drop-after, --drop-after-send and --raw-line name.

/** Step -> its names. */
const stopNames = {
  PROXY: ["PROXY"],
  CONNECT: ["CONNECT", "BANNER"],
  "FIRST-HELO": ["FIRST-HELO", "FIRST-EHLO", "FIRST-LHLO"],
  XCLIENT: ["XCLIENT"],
  "XCLIENT-HELO": ["XCLIENT-HELO", "XCLIENT-EHLO", "XCLIENT-LHLO"],
  TLS: ["TLS", "STARTTLS"],
  HELO: ["HELO", "EHLO", "LHLO"],
  AUTH: ["AUTH"],
  MAIL: ["MAIL", "FROM"],
  RCPT: ["RCPT", "TO"],
  DATA: ["DATA"],
  DOT: ["DOT"],
} as const satisfies Record<StopPoint, readonly string[]>;

const steps = new Map<string, StopPoint>();
for (const [step, known] of Object.entries(stopNames))
  for (const name of known) steps.set(name, step as StopPoint);

/** The step that `text` names, in any case. */
const stopOf = (text: string): StopPoint | undefined => steps.get(text.toUpperCase());

/** Whether a run that stops there needs no recipient. */
const needsNoRecipient = (stop: StopPoint): boolean => !["RCPT", "DATA", "DOT"].includes(stop);
