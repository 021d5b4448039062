/**
 * The message that a probe sends, made of what the options said, in the order of swaks: body, line ends, header
 * fields, tokens, an mbox's "From " line, a dot at the end, dots at the beginning of lines. Octets are carried in
 * "latin1" strings, one character an octet, so that a file goes out as it is.
 */

import { encode, wrap } from "nodemailer/lib/base64";
import type { MessageData } from "./plan.ts";

/**
 * What the message is made of, before tokens, MIME and fixing up: what --data, --body, --attach and the like said.
 * Made by options; buildMessage() makes {@link MessageData} of it.
 */
export interface MessageDraft {
  /** Absent: the standard template. */
  readonly template?: Uint8Array;
  /** Absent: the standard text. With attachments it is the first text/plain part. */
  readonly body?: Uint8Array;
  /** --attach, --attach-body, --attach-type and --attach-name in the order in which they were given. */
  readonly attachments: readonly Attachment[];
  /** Header lines of --add-header, in order; several in one where "\\n" stands between them. */
  readonly added: readonly string[];
  /** Header lines of --header and --h-NAME, in order. */
  readonly replaced: readonly string[];
  readonly fixup: boolean;
  readonly stripFrom: boolean;
  /** As typed, for the tokens; "" where there is none. */
  readonly from: string;
  readonly to: string;
  readonly cc: string;
  readonly bcc: string;
}

export type Attachment =
  | { readonly kind: "part" | "body"; readonly octets: Uint8Array /** Its file's. */; readonly name?: string }
  /** For the parts that follow. */
  | { readonly kind: "type"; readonly type: string }
  /** For the next part; absent: it gets none. */
  | { readonly kind: "name"; readonly name?: string };

/** The values of tokens that no option sets. */
export interface TokenValues {
  /** For a Date field. */
  readonly date: string;
  /** Without angle brackets. */
  readonly messageId: string;
  /** The version of swaks that this program replaces. */
  readonly version: string;
  /** Makes this run's MIME boundaries differ from another's: the process ID. */
  readonly run: string;
}

const standardBody = Buffer.from("This is a test mailing");

/** Its octets, as the transaction sends them before `.` CRLF; untouched where `fixup` is off. */
export function buildMessage(draft: MessageDraft, circumstances: TokenValues): MessageData {
  const { fixup, attachments, body = standardBody } = draft;
  const parts = attachments.length > 0 ? multipart(attachments, body, circumstances.run) : undefined;
  const template = draft.template ?? Buffer.from(standardTemplate(draft.cc !== "", parts?.type));
  if (!fixup) return { octets: template, fixup };
  const withTokens = tokenReader(draft, circumstances);
  const { head, bodyBegins, rest } = laidOut(latin1(template), parts?.content, latin1(body));
  const fields = withFields(head, bodyBegins, draft.added.map(typed), draft.replaced.map(typed));
  const lines = fields.flatMap((line) => withTokens(line).split("\n").map(foldAddresses));
  const text = `${lines.map((line) => `${line}\n`).join("")}\n${withTokens(rest)}`;
  const bare = withoutLastDot(draft.stripFrom ? text.replace(/^From [^\n]*\n/, "") : text);
  return { octets: Buffer.from(onTheWire(bare), "latin1"), fixup };
}

/**
 * The message without --data, as swaks' manual page has it; X-Mailer too, because filters recognize test mail by it.
 */
function standardTemplate(hasCc: boolean, type: string | undefined): string {
  return [
    "Date: %DATE%",
    "To: %TO_ADDRESS%",
    ...(hasCc ? ["Cc: %CC_ADDRESS%"] : []),
    "From: %FROM_ADDRESS%",
    "Subject: test %DATE%",
    // A real line end, which only --no-data-fixup shows.
    "Message-Id: <%MESSAGEID%>\nX-Mailer: swaks v%SWAKS_VERSION% jetmore.org/john/code/swaks/",
    ...(type === undefined ? [] : ["MIME-Version: 1.0", `Content-Type: ${type}`]),
    "%NEW_HEADERS%",
    "%BODY%",
    "",
  ].join("\\n");
}

interface TemplateLayout {
  readonly head: readonly string[];
  /** How many lines of `head` stand before the body, which no empty line need separate from it. */
  readonly bodyBegins: number;
  readonly rest: string;
}

/**
 * The template with parts or body in place, split at the first empty line. The header of a first part is no body:
 * --header "Content-Type: text/plain; charset=utf-8" has always meant that one.
 */
function laidOut(template: string, parts: string | undefined, body: string): TemplateLayout {
  const token = /%BODY%|\.\.BODY\.\./g;
  const at = parts === undefined ? template.search(token) : -1;
  const whole = withLineEnds(template.replace(token, () => parts ?? body));
  const end = whole.indexOf("\n\n");
  const head = (end < 0 ? whole.replace(/\n+$/, "") : whole.slice(0, end)).split("\n");
  return {
    head: head.length === 1 && head[0] === "" ? [] : head,
    bodyBegins: at < 0 ? head.length : withLineEnds(template.slice(0, at)).split("\n").length - 1,
    rest: end < 0 ? "" : whole.slice(end + 2),
  };
}

/** Replaces tokens with their values. Tokens inside a value are not replaced. */
function tokenReader(draft: MessageDraft, circumstances: TokenValues): (text: string) => string {
  const values: Readonly<Record<string, string>> = {
    FROM_ADDRESS: draft.from,
    TO_ADDRESS: draft.to,
    CC_ADDRESS: draft.cc,
    BCC_ADDRESS: draft.bcc,
    DATE: circumstances.date,
    MESSAGEID: circumstances.messageId,
    SWAKS_VERSION: circumstances.version,
    NEWLINE: "\n",
  };
  const names = Object.keys(values).join("|");
  const token = new RegExp(`%(${names})%|\\.\\.(${names})\\.\\.`, "g");
  return (text) => text.replace(token, (_, one: string, other: string) => utf8(values[one ?? other] ?? ""));
}

/** LF alone, wherever a line end is written or typed. %NEWLINE% comes later, as in swaks: it ends no header. */
const withLineEnds = (text: string): string => text.replace(/\\n|\r\n/g, "\n");

const typed = (text: string): string => withLineEnds(utf8(text));

/** Templates taken from a transcript may end in the dot that ends DATA. */
const withoutLastDot = (text: string): string => text.replace(/\n\.\n?$/, "");

/** Dots doubled (RFC 5321 section 4.5.2), lines ended by CRLF, the last one too. */
const onTheWire = (text: string): string => `${text.replace(/(^|\n)\./g, "$1..").replace(/\n/g, "\r\n")}\r\n`;

const latin1 = (octets: Uint8Array): string => Buffer.from(octets).toString("latin1");

const utf8 = (text: string): string => Buffer.from(text).toString("latin1");

/** Where added fields go, if the template says so. */
const place = /%NEW_HEADERS%|\.\.NEW_HEADERS\.\./;

/** What a header line may hold without its CRLF (RFC 5322 section 2.1.1). */
const longest = 998;

/** The length to which lines are folded: the same paragraph. */
const comfortable = 78;

/**
 * The header's lines with `replaced` in place of the last field of the same name, whatever its case, and with the rest
 * behind those of `added`: at %NEW_HEADERS%, else at the end. Lines from `end` on belong to the body already and are
 * not looked at: the standard template has no empty line between the two.
 */
function withFields(
  lines: readonly string[],
  end: number,
  added: readonly string[],
  replaced: readonly string[],
): readonly string[] {
  let head = lines.slice(0, end);
  const fresh = [...added.flatMap(linesOf)];
  for (const field of replaced.flatMap(fieldsOf)) {
    const swapped = withSwapped(head, field);
    if (swapped) head = swapped;
    else fresh.push(...field);
  }
  const all = [...head, ...lines.slice(end)];
  const first = all.findIndex((line) => place.test(line));
  if (first < 0) return [...all, ...fresh];
  const inserted = fresh.map((line) => `${line}\n`).join("");
  return all.flatMap((line, index) =>
    line.replace(place, () => (index === first ? inserted : "")).split("\n"),
  );
}

/** Without the empty lines at its end, which would end the header. */
const linesOf = (text: string): readonly string[] => text.replace(/\n+$/, "").split("\n");

/** Each field with its folded lines. */
function fieldsOf(text: string): readonly (readonly string[])[] {
  const fields: string[][] = [];
  for (const line of linesOf(text)) {
    const last = fields.at(-1);
    if (last !== undefined && /^[ \t]/.test(line)) last.push(line);
    else fields.push([line]);
  }
  return fields;
}

const nameOf = ([line = ""]: readonly string[]): string | undefined => /^([^\s:][^:]*):/.exec(line)?.[1];

/** The lines with `field` in place of the last one of its name; undefined where there is none. */
function withSwapped(lines: readonly string[], field: readonly string[]): string[] | undefined {
  const name = nameOf(field)?.toLowerCase();
  const start = lines.findLastIndex((line) => name !== undefined && nameOf([line])?.toLowerCase() === name);
  if (start < 0) return undefined;
  const folded = lines.slice(start + 1).findIndex((line) => !/^[ \t]/.test(line));
  const rest = folded < 0 ? [] : lines.slice(start + 1 + folded);
  return [...lines.slice(0, start), ...field, ...rest];
}

/** A list of addresses that is longer than a line may be, folded behind its commas. */
function foldAddresses(line: string): string {
  if (line.length <= longest || !/^(?:to|cc|bcc|from|reply-to):/i.test(line)) return line;
  const folded: string[] = [];
  let current = "";
  for (const address of line.match(/[^,]*,\s*|[^,]+$/g) ?? []) {
    if (current !== "" && current.trimEnd().length + address.trimEnd().length > comfortable) {
      folded.push(current.trimEnd());
      current = " ";
    }
    current += address;
  }
  return [...folded, current].join("\n");
}

interface MimePart {
  readonly type: string;
  readonly octets: Uint8Array;
  readonly name?: string;
}

/** A multipart entity: its Content-Type, and what stands between its boundaries. */
interface Multipart {
  readonly type: string;
  readonly content: string;
}

/**
 * What stands in place of %BODY% when something is attached: multipart/mixed, as swaks lays it out. The body comes
 * first: `text` unless there are bodies of their own, of which several are alternatives (RFC 2046 section 5.1.4). `run`
 * makes the boundaries of two runs differ. Lines end in LF until the whole message is fixed up.
 */
export function multipart(attachments: readonly Attachment[], text: Uint8Array, run: string): Multipart {
  const bodies = partsOf("body", attachments, "text/plain").map(bodyPart);
  const parts = partsOf("part", attachments, "application/octet-stream").map(attachedPart);
  if (bodies.length > 1 && parts.length === 0) return entity("alternative", bodies, `000_${run}`);
  const alternatives = entity("alternative", bodies, `004_${run}`);
  const [first = bodyPart({ type: "text/plain", octets: text })] = bodies;
  const body = bodies.length > 1 ? `Content-Type: ${alternatives.type}\n\n${alternatives.content}` : first;
  return entity("mixed", [body, ...parts], `000_${run}`);
}

function entity(subtype: string, parts: readonly string[], label: string): Multipart {
  const boundary = `----=_MIME_BOUNDARY_${label}`;
  const enclosed = parts.map((part) => `--${boundary}\n${part}`).join("");
  return { type: `multipart/${subtype}; boundary="${boundary}"`, content: `${enclosed}--${boundary}--\n` };
}

/** The parts of one kind. A name is the next part's; a type holds for the parts that follow, up to the next body. */
function partsOf(
  kind: "part" | "body",
  attachments: readonly Attachment[],
  standard: string,
): readonly MimePart[] {
  const parts: MimePart[] = [];
  let type: string | undefined;
  let named: { readonly name?: string } | undefined;
  for (const attachment of attachments) {
    if (attachment.kind === "type") type = attachment.type;
    else if (attachment.kind === "name") named = attachment;
    else {
      if (attachment.kind === kind) {
        const { name } = named ?? attachment;
        const { octets } = attachment;
        parts.push({ type: type ?? standard, octets, ...(name === undefined ? {} : { name }) });
      }
      if (attachment.kind === "body") type = undefined;
      named = undefined;
    }
  }
  return parts;
}

const isPlain = (type: string): boolean => type.toLowerCase() === "text/plain";

/** A body has no name, and only what is no text is called an attachment. */
function bodyPart({ type, octets }: MimePart): string {
  if (isPlain(type)) return plainPart(type, octets);
  const disposition = /^text\//i.test(type) ? "" : "Content-Disposition: attachment\n";
  return `Content-Type: ${type}\n${disposition}${base64(octets)}`;
}

function attachedPart({ type, octets, name }: MimePart): string {
  if (name === undefined) {
    if (isPlain(type)) return plainPart(type, octets);
    return `Content-Type: ${type}\nContent-Disposition: attachment\n${base64(octets)}`;
  }
  const shown = Buffer.from(name).toString("latin1");
  return (
    `Content-Type: ${type}; name="${shown}"\nContent-Description: ${shown}\n` +
    `Content-Disposition: attachment; filename="${shown}"\n${base64(octets)}`
  );
}

/** As it is: line ends, tokens and dots are handled in the whole message. */
const plainPart = (type: string, octets: Uint8Array): string =>
  `Content-Type: ${type}\n\n${Buffer.from(octets).toString("latin1")}\n`;

/** In lines of 76 characters, the longest that RFC 2045 section 6.8 allows. */
function base64(octets: Uint8Array): string {
  const lines = wrap(encode(Buffer.from(octets)), 76).replaceAll("\r\n", "\n");
  return `Content-Transfer-Encoding: BASE64\n\n${lines === "" ? "" : `${lines}\n`}\n`;
}

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (value: number): string => String(value).padStart(2, "0");

/**
 * `Sun, 22 Nov 2026 14:02:46 +0100`, in the host's zone, English in any locale (RFC 5322 section 3.3); `time` is since
 * the epoch.
 */
export function localDate(time: number): string {
  const at = new Date(time);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  const east = -at.getTimezoneOffset();
  const zone = `${east < 0 ? "-" : "+"}${two(Math.floor(Math.abs(east) / 60))}${two(Math.abs(east) % 60)}`;
  return `${days[at.getDay()]}, ${two(at.getDate())} ${months[at.getMonth()]} ${at.getFullYear()} ${clock} ${zone}`;
}

/** `20261122140246.004711@client.example.org`: the second, the process and the host, without angle brackets. */
export function messageId(time: number, process: number, host: string): string {
  const at = new Date(time);
  const parts = [at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()];
  return `${at.getFullYear()}${parts.map(two).join("")}.${String(process).padStart(6, "0")}@${host}`;
}
