/** The message of a probe: the same octets for the same mark and addresses, so that it can be compared when it arrives. */
import { formatDate } from "../../smtp/date.ts";
import { type Bound, type Mark, markField, writeMark } from "../arrival/mark.ts";

/** The message with the mark in its header, CRLF lines; `route` is a name without surprises. */
export function writeMessage(mark: Mark, bound: Bound, route: string): Buffer {
  const { from, to } = bound;
  const lines = [
    `Date: ${formatDate(mark.at)}`,
    `From: <${from}>`,
    `To: <${to}>`,
    `Subject: Probe ${mark.id.slice(0, 8)} of ${route}`,
    `Message-ID: <${mark.id}@${from.slice(from.lastIndexOf("@") + 1)}>`,
    // RFC 3834 section 5: nobody on holiday shall answer.
    "Auto-Submitted: auto-generated",
    `${markField}: ${writeMark(mark, bound)}`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=us-ascii",
    "",
    "This message was sent by a program, to see whether mail arrives and how long",
    "it takes. Nobody has to read it; the program deletes it after a while.",
    "",
  ];
  return Buffer.from(lines.join("\r\n"), "latin1");
}
