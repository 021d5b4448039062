/**
 * What strangers may write at great length: repeated and nested forms, each of about so many octets. A reader that goes
 * back over what it has read takes minutes for one of them.
 */

/** Stands in every message made here, and so in the reports about it. */
export const longForm = "long-form";

/** A line of a client, without its line end. */
export const lines: Readonly<Record<string, (octets: number) => string>> = {
  "AUTH <<<<": (octets) => `AUTH ${"<".repeat(octets)}`,
  "AUTH PLAIN ====": (octets) => `AUTH PLAIN ${"=".repeat(octets)}`,
  "a route": (octets) => `MAIL FROM:<${"@a,".repeat(octets / 3)}@a:user1@example.org>`,
  "a route without an end": (octets) => `MAIL FROM:<${"@a,".repeat(octets / 3)}@a>`,
  "a quoted name": (octets) => `RCPT TO:<"${'\\"'.repeat(octets / 2)}@example.net>`,
  dots: (octets) => `RCPT TO:<${"a.".repeat(octets / 2)}@example.net>`,
  parameters: (octets) => `MAIL FROM:<user1@example.org>${" A=A".repeat(octets / 4)}`,
  blanks: (octets) => `RCPT TO:<x@example.net>${" ".repeat(octets)}x`,
  "blanks in front": (octets) => `EHLO${" \t".repeat(octets / 2)}x`,
  brackets: (octets) => `EHLO ${"[".repeat(octets)}`,
  "an xtext": (octets) => `MAIL FROM:<user1@example.org> ENVID=${"+41".repeat(octets / 3)}+`,
};

/** Field by field, or a whole body: a message with CRLF lines. */
export const messages: Readonly<Record<string, (octets: number) => string>> = {
  "15 Resent-From": (octets) =>
    ownFields(
      Array.from({ length: 15 }, () => folded("Resent-From: ", "user1@example.org, ", octets / 15)).join(""),
    ),
  "nested comments": (octets) => ownFields(folded("To: ", "((((((((", octets)),
  "many authors": (octets) => fields(folded("From: ", "a@example.org, ", octets)),
  "a From of brackets": (octets) => fields(folded("From: ", '"<"<"<(<', octets)),
  "encoded words": (octets) => ownFields(folded("Subject: ", "=?utf-8?q?=3C?= ", octets)),
  "a Content-Type of parameters": (octets) =>
    ownFields(folded("Content-Type: text/plain; ", 'a="b\\"; ', octets)),
  "a Message-ID of brackets": (octets) => ownFields(folded("Message-ID: ", "<<<<<<<<", octets)),
  "many fields": (octets) => ownFields("X: x\r\n".repeat(octets / 6)),
  // Of 8 bits, which a next hop may not take: then every line of it is looked at for boundaries.
  "dashes and blanks": (octets) => eightBit(`--${" ".repeat(octets)}x\r\n`),
  "a line of dashes": (octets) => eightBit(`--b${"-".repeat(octets)}x\r\n`),
  "deep MIME": (octets) => eightBit(deep(octets / 100)),
};

const user1 = "From: user1@example.org\r\n";
const subject = `Subject: ${longForm}\r\n`;

const fields = (more: string): string => `${subject}${more}\r\nHello\r\n`;

const ownFields = (more: string): string => fields(`${user1}${more}`);

/** `name` and so many octets of `form`, in lines as they should be. */
function folded(name: string, form: string, octets: number): string {
  const line = form.repeat(Math.ceil(70 / form.length));
  return `${name}${Array.from({ length: Math.ceil(octets / line.length) }, () => line).join("\r\n ")}\r\n`;
}

function eightBit(body: string): string {
  const type = 'MIME-Version: 1.0\r\nContent-Type: multipart/mixed; boundary="b"\r\n';
  return `${subject}${user1}${type}\r\n--b\r\n\r\n\u00e9\r\n${body}--b--\r\n`;
}

function deep(levels: number): string {
  const part = (level: number): string =>
    `--b${String(level)}\r\nContent-Type: multipart/mixed; boundary="b${String(level + 1)}"\r\n\r\n`;
  const parts = Array.from({ length: levels }, (_, level) => part(level)).join("");
  return `--b\r\nContent-Type: multipart/mixed; boundary="b0"\r\n\r\n${parts}\u00e9\r\n`;
}
