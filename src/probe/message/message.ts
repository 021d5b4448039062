/**
 * The message that a probe sends, made of what the options said, in the order of swaks: body, line ends, header
 * fields, tokens, an mbox's "From " line, a dot at the end, dots at the beginning of lines. Octets are carried in
 * "latin1" strings, one character an octet, so that a file goes out as it is.
 */

import type { Data, Draft } from "../plan.ts";
import { foldAddresses, withFields } from "./fields.ts";
import { multipart } from "./mime.ts";

/** What the tokens say that no option decides. */
export interface Circumstances {
  /** For a Date field. */
  readonly date: string;
  /** Without angle brackets. */
  readonly messageId: string;
  /** The swaks whose place this program takes. */
  readonly version: string;
  /** Digits that tell this run's MIME boundaries from another's: the process ID. */
  readonly run: string;
}

const standardBody = Buffer.from("This is a test mailing");

/** Its octets, as the transaction sends them before `.` CRLF; untouched where `fixup` is off. */
export function buildMessage(draft: Draft, circumstances: Circumstances): Data {
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

/** The message without --data, as swaks' manual page has it; X-Mailer too, because filters know test mail by it. */
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

interface Layout {
  readonly head: readonly string[];
  /** How many lines of `head` stand before the body, which no empty line need separate from it. */
  readonly bodyBegins: number;
  readonly rest: string;
}

/**
 * The template with parts or body in place, split at the first empty line. The header of a first part is no body:
 * --header "Content-Type: text/plain; charset=utf-8" has always meant that one.
 */
function laidOut(template: string, parts: string | undefined, body: string): Layout {
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

/** Puts values in place of tokens. What a value says is not read again. */
function tokenReader(draft: Draft, circumstances: Circumstances): (text: string) => string {
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
