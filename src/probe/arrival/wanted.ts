/** Whether what came is what a look is after: a message with a mark, or a report. */
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import type { Wanted } from "./mailbox.ts";
import { markOf } from "./mark.ts";

/** `octets` are a message, or its beginning. */
export function isWanted(octets: Buffer, wanted: Wanted): boolean {
  const mark = markOf(octets);
  if (mark !== "" && wanted.mark(mark)) return true;
  return isReport(octets) && wanted.report(octets);
}

/** Whether `message`, or the header alone, says of itself that it is one (RFC 6522). */
export function isReport(message: Buffer): boolean {
  const header = message.toString("latin1", 0, bodyOffset(message) ?? message.length);
  const type = splitFields(header).find((field) => isNamed(field, "Content-Type"));
  return type !== undefined && /^multipart\/report\b/i.test(fieldBody(type));
}
