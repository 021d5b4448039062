/**
 * Where the header of a message is (RFC 5322 section 2.1). Printers, scanners, cron and scripts hand over text with no
 * header, or a mailbox's `From ` line above it. Pure.
 */
import { type Field, isNamed, splitFields } from "../../../smtp/header.ts";

export interface Opening {
  readonly fields: readonly Field[];
  /** What is text although it stood where the header should: it goes behind an empty line. */
  readonly text: string;
}

/** Fields that a text has no reason to begin with: a header whose first line is damaged is none the less a header. */
const telling = [
  ..."From Sender Reply-To To Cc Bcc Subject Date Message-ID MIME-Version Content-Type Received".split(" "),
  ..."Resent-From Resent-Sender Resent-To Resent-Cc Resent-Bcc DKIM-Signature Return-Path".split(" "),
];

/** Reads what stands before the first empty line, or all where there is none, one character an octet ("latin1"). */
export function readOpening(head: string): Opening {
  const header = withoutMailboxLine(head);
  const fields = splitFields(header);
  const [first] = fields;
  if (first?.name !== "") return { fields, text: "" };
  const isHeader = fields.some((field) => telling.some((name) => isNamed(field, name)));
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
