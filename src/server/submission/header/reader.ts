/**
 * Finds and reads the header of a message (RFC 5322 section 2.1). Printers, scanners, cron and scripts submit text with no
 * header, or with a mailbox's `From ` line above it. Pure.
 */
import { fieldBody, type HeaderField, isNamed, splitFields } from "../../../smtp/header.ts";

/** Collects the beginning of a message, in pieces as small as an octet, until its header is complete. */
export interface HeaderBuffer {
  /** Adds octets. Once the empty line has come, gives all octets so far, and where that line begins. */
  add(chunk: Uint8Array): { readonly octets: Buffer; readonly end: number } | undefined;
  /** All octets so far. */
  octets(): Buffer;
}

/** Ends a header. */
export const emptyLine = "\r\n\r\n";

export function newHeaderBuffer(): HeaderBuffer {
  let room = Buffer.allocUnsafe(8_192); // doubled when full, so that single octets take linear time, too
  let length = 0;
  const octets = (): Buffer => room.subarray(0, length);
  return {
    octets,
    add(chunk) {
      if (length + chunk.length > room.length) {
        const wider = Buffer.allocUnsafe(Math.max(2 * room.length, length + chunk.length));
        octets().copy(wider);
        room = wider;
      }
      const from = Math.max(0, length - emptyLine.length + 1);
      room.set(chunk, length);
      length += chunk.length;
      const whole = octets();
      if (whole[0] === 13 && whole[1] === 10) return { octets: whole, end: 0 }; // no header at all
      const at = whole.indexOf(emptyLine, from);
      return at < 0 ? undefined : { octets: whole, end: at + 2 };
    },
  };
}

export interface MessageHeader {
  readonly fields: readonly HeaderField[];
  /** Text that stood where the header should. It goes after an empty line. */
  readonly text: string;
}

/** Fields that show a header, even if its first line is damaged: no text begins with them. */
const headerNames = [
  ..."From Sender Reply-To To Cc Bcc Subject Date Message-ID MIME-Version Content-Type Received".split(" "),
  ..."Resent-From Resent-Sender Resent-To Resent-Cc Resent-Bcc DKIM-Signature Return-Path".split(" "),
];

/** Reads what precedes the first empty line, or all where there is none, one character an octet ("latin1"). */
export function readHeader(head: string): MessageHeader {
  const header = withoutMailboxLine(head);
  const fields = splitFields(header);
  const [first] = fields;
  if (first?.name !== "") return { fields, text: "" };
  const isHeader = fields.some((field) => headerNames.some((name) => isNamed(field, name)));
  // A line among fields that cannot be one is refused (fixups.ts): readers differ about where such a header ends.
  return isHeader ? { fields, text: "" } : { fields: [], text: header };
}

/** `From user1 Mon Nov 23 10:00:00 2026`, above a header or with its time above anything. Not a field, so never signed. */
function withoutMailboxLine(head: string): string {
  if (!/^>?From /.test(head)) return head;
  const end = head.indexOf("\r\n");
  const line = head.slice(0, Math.max(0, Math.min(end, 512)));
  const rest = head.slice(end + 2);
  if (end < 0 || splitFields(`${line}\r\n`)[0]?.name !== "") return head;
  const nextName = splitFields(rest.slice(0, rest.indexOf("\r\n") + 2))[0]?.name ?? "";
  return nextName !== "" || /\d\d:\d\d/.test(line) ? rest : head;
}

/**
 * `TLS-Required: No` (RFC 8689 section 3): the author prefers delivery without TLS, or to an unverified host, to none.
 * Whether `fields` have it exactly once.
 */
export function isTlsOptional(fields: readonly HeaderField[]): boolean {
  const [field, ...others] = fields.filter((one) => isNamed(one, "TLS-Required"));
  return field !== undefined && others.length === 0 && /^no$/i.test(fieldBody(field).trim());
}
