/** The beginning of a message, gathered octet by octet if need be until its header is whole. */
import { type Field, fieldBody, isNamed, splitFields } from "../../../smtp/header.ts";

export interface HeaderBuffer {
  /** Adds octets; gives all that came so far once the empty line is among it, and where that line begins. */
  add(chunk: Uint8Array): { readonly octets: Buffer; readonly end: number } | undefined;
  /** All that came so far. */
  octets(): Buffer;
}

const emptyLine = "\r\n\r\n";

export function newHeaderBuffer(): HeaderBuffer {
  let room = Buffer.allocUnsafe(8_192); // doubled when full: one octet at a time costs no more than many
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

// Where the header of a message is (RFC 5322 section 2.1). Printers, scanners, cron and scripts hand over text with no
// header, or a mailbox's `From ` line above it. Pure.

export interface MessageHeader {
  readonly fields: readonly Field[];
  /** What is text although it stood where the header should: it goes behind an empty line. */
  readonly text: string;
}

/** Fields that a text has no reason to begin with: a header whose first line is damaged is none the less a header. */
const headerNames = [
  ..."From Sender Reply-To To Cc Bcc Subject Date Message-ID MIME-Version Content-Type Received".split(" "),
  ..."Resent-From Resent-Sender Resent-To Resent-Cc Resent-Bcc DKIM-Signature Return-Path".split(" "),
];

/** Reads what stands before the first empty line, or all where there is none, one character an octet ("latin1"). */
export function readHeader(head: string): MessageHeader {
  const header = withoutMailboxLine(head);
  const fields = splitFields(header);
  const [first] = fields;
  if (first?.name !== "") return { fields, text: "" };
  const isHeader = fields.some((field) => headerNames.some((name) => isNamed(field, name)));
  // A line that cannot be a field amid fields is refused (fixups.ts): readers differ about where such a header ends.
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

// `TLS-Required: No` (RFC 8689 section 3): whoever wrote the message would have it arrive in the clear, or from a host
// that nobody can vouch for, rather than not at all.

/** Whether these `fields` say so: once, and nothing else by that name. */
export function isTlsOptional(fields: readonly Field[]): boolean {
  const [field, ...others] = fields.filter((one) => isNamed(one, "TLS-Required"));
  return field !== undefined && others.length === 0 && /^no$/i.test(fieldBody(field).trim());
}
