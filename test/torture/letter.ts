/** The messages of the torture run: whoever finds one can tell whether every octet of it is there. */

/** Who wrote it, and what the next hop's reports and ours can be traced by. */
const tokens = /torture-[0-9a-z]+-[0-9]+/;

export interface Letter {
  readonly token: string;
  readonly recipients: readonly string[];
  /** CRLF lines, not dot-stuffed. */
  readonly text: string;
}

/** Recipients whose address begins like this are refused for good. */
export const nobody = "nobody-";

export function letter(token: string, recipients: readonly string[], lines: number): Letter {
  const header = [
    "From: user1@example.org",
    "To: undisclosed-recipients:;",
    `Message-ID: <${token}@example.org>`,
    `Subject: ${String(lines)} lines`,
  ];
  return { token, recipients, text: `${header.join("\r\n")}\r\n\r\n${bodyOf(token, lines)}` };
}

/** The body alone: dots at the beginning of lines, and no two lines alike. */
function bodyOf(token: string, lines: number): string {
  const line = (index: number): string =>
    `${".".repeat(index % 3)}${token} ${String(index)} ${"x".repeat(60)}`;
  return Array.from({ length: lines }, (_, index) => `${line(index)}\r\n`).join("");
}

/** The token of a message as it arrived, or of the one that a report is about. */
export function tokenIn(text: string): string | undefined {
  return tokens.exec(text)?.[0];
}

/** Whether a message arrived as it was written, below what the relay put on top. */
export function isWhole(text: string): boolean {
  const lines = Number(/^Subject: (\d+) lines\r$/m.exec(text)?.[1]);
  const body = text.slice(text.indexOf("\r\n\r\n") + 4);
  return body === bodyOf(tokenIn(text) ?? "", lines);
}

/** Whom a report of ours is about. */
export function toldAbout(report: string): readonly string[] {
  return [...report.matchAll(/^Final-Recipient: *rfc822; *(\S+)\r$/gim)].map(([, address = ""]) => address);
}
