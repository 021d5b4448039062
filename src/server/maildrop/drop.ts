/**
 * A message in the maildrop: one line that says to whom it goes, and then its octets, lines ending in CRLF. `tpa-submit
 * sendmail` writes it, the relay reads it. man/tpa-submit-sendmail.8 describes the format. Pure.
 */
import type { Notify } from "../spool/envelope.ts";
import {
  fieldsOf,
  is,
  type JsonFields,
  list,
  listOfSome,
  Mismatch,
  oneOf,
  optional,
  record,
} from "../spool/strict-json.ts";

/** What the caller of sendmail wants. Who it is, the file's owner tells. */
export interface Drop {
  /** Reverse-path without angle brackets, perhaps without a domain; "" is the null one. Absent: the user's own address. */
  readonly sender?: string;
  /** Forward-paths without angle brackets, perhaps without a domain. At least one. */
  readonly recipients: readonly string[];
  /** RFC 3461 NOTIFY for all of them. */
  readonly notify?: readonly Notify[];
  /** RFC 3461 RET. */
  readonly ret?: "FULL" | "HDRS";
  /** RFC 3461 ENVID. */
  readonly envid?: string;
}

const text = is("a text", (found): found is string => typeof found === "string");

const dropRows: JsonFields<Drop> = {
  sender: optional(text),
  recipients: listOfSome(text),
  notify: optional(list(oneOf("NEVER", "SUCCESS", "FAILURE", "DELAY"))),
  ret: optional(oneOf("FULL", "HDRS")),
  envid: optional(text),
};

const dropField = record(dropRows);

const version = 1;

/** Octets of the first line. Our choice: some ten thousand recipients. */
export const longestFirstLine = 1_048_576;

/** The first line, with its end. */
export function formatDrop(drop: Drop): string {
  return `${JSON.stringify({ version, ...fieldsOf(dropField.write(drop, ""), "") })}\n`;
}

/** Reads the first line, without its end. Gives a text where it is not one. */
export function parseDrop(line: string): Drop | string {
  try {
    const { version: found, ...fields } = fieldsOf(JSON.parse(line), "");
    if (found !== version) throw new Mismatch("version", String(version), found);
    return dropField.read(fields, "");
  } catch (error) {
    if (error instanceof Mismatch) return error.message;
    if (error instanceof SyntaxError) return "its first line is no JSON";
    throw error;
  }
}
