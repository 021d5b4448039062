/** The body of a Message-ID field (RFC 5322 section 3.6.4). */
import { isComments } from "./mailboxes.ts";

/**
 * Whether `body` is one message ID. Dots are allowed anywhere: many programs are careless there, and replies refer to
 * the ID as it is.
 */
export function isMessageId(body: string): boolean {
  const [start, end] = [body.indexOf("<"), body.lastIndexOf(">") + 1];
  return (
    start >= 0 &&
    one.test(body.slice(start, end)) &&
    isComments(body.slice(0, start)) &&
    isComments(body.slice(end))
  );
}

const one = /^<(?:[^\x00-\x20\x7f<>@"]+|"(?:[^\x00-\x1f\x7f"\\]|\\[\x20-\x7e])*")@[^\x00-\x20\x7f<>@"]+>$/;
