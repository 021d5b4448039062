/** A message that some program on its way could be tempted to mend, and what must come of it at the next hop. */
import { expect } from "vitest";

export interface Letter {
  /** Unguessable; stands in the header. */
  readonly token: string;
  /** CRLF lines, the last one without its CRLF: clients put it there. */
  readonly octets: Buffer;
}

export function newLetter(): Letter {
  const token = crypto.randomUUID();
  const text = [
    "X-First: stays the first",
    "From: User One <user1@example.org>",
    "To: x@example.net",
    "subject:   =?utf-8?q?Gr=C3=BC=C3=9Fe?=  ",
    "X-Folded: one",
    "\t two",
    "   three",
    "Date: Sun, 22 Nov 2026 12:00:00 +0000",
    `Message-ID: <${token}@client.example.org>`,
    "MIME-Version: 1.0",
    "Content-Type: text/plain; charset=utf-8",
    "Content-Transfer-Encoding: 8bit",
    "",
    "Grüße",
    ".one dot",
    "..two",
    ".",
    "..",
    "blanks at the end  \t ",
    "From the beginning of a line",
    `a long line: ${"x".repeat(980)}`,
    "",
    "",
    "Bcc: is no header field here",
    "the end",
  ].join("\r\n");
  return { token, octets: Buffer.from(text) };
}

/** What is put on top of a message that lacks nothing: one field, which tells nothing of the client. */
const ours =
  /^Received: from authenticated-user by relay\.example\.org\r\n\twith (?:UTF8S|ES)MTPSA id [0-9A-F]{10,12} for <x@example\.net>\r\n\ttls TLS_\w+; [^\r\n]+\r\n$/;

/** Throws unless `arrived`, CRLF lines as "latin1", is `sent` byte for byte below the field that we add. */
export function expectUnchanged(arrived: string, sent: Buffer): void {
  const body = `${sent.toString("latin1")}\r\n`;
  expect(arrived.slice(-body.length)).toBe(body);
  expect(arrived.slice(0, -body.length)).toMatch(ours);
}
