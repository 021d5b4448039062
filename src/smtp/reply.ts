/**
 * The result type of the mail path: an SMTP reply (RFC 5321 section 4.2, RFC 3463). The submission session sends
 * replies, the delivery reads them, the envelope keeps the last one for each recipient, and the report to the sender
 * quotes it. A failed connection is a reply, too (`451 4.4.1 …`).
 */
export interface Reply {
  /** 200-599. */
  readonly code: number;
  /** Enhanced status code, "5.1.1". */
  readonly status: string;
  /** Text behind the codes, one line, without control characters. */
  readonly text: string;
}

/** Makes a reply. `status` must be of the same class as `code`. */
export function reply(code: number, status: string, text: string): Reply {
  return { code, status, text };
}

/** Success: 2yz. */
export const isPositive = ({ code }: Reply): boolean => code >= 200 && code < 300;

/** "Do not try again": 5yz. */
export const isPermanent = ({ code }: Reply): boolean => code >= 500;

/** "Try later": 4yz. */
export const isTemporary = ({ code }: Reply): boolean => code >= 400 && code < 500;

/** The reply as it is sent or logged, without CRLF: `550 5.1.1 No such user`. */
export function formatReply({ code, status, text }: Reply): string {
  return [String(code), status, text].filter((part) => part !== "").join(" ");
}

/**
 * Reads a server's reply, one line or the joined lines of a multi-line reply. If it has no enhanced code, or one of
 * another class, the general code of the class is used (X.0.0, RFC 3463 section 2). Anything else is read as a protocol
 * error, 451 4.5.0: another attempt may help.
 */
export function parseReply(said: string): Reply {
  const lines = said
    .split(/\r?\n/)
    .filter((line) => line !== "")
    .map((line) => /^([2-5]\d\d)(?:[ \t-](.*))?$/.exec(line));
  const [first] = lines;
  if (!first) return reply(451, "4.5.0", `unexpected answer: ${said.replace(/\s+/g, " ").slice(0, 200)}`);
  const code = Number(first[1]);
  const parts = lines.map((line) => /^(?:([245]\.\d{1,3}\.\d{1,3})(?:\s+|$))?(.*)$/s.exec(line?.[2] ?? ""));
  const status = parts.map((part) => part?.[1]).find((found) => found?.startsWith(String(code).charAt(0)));
  const text = parts
    .map((part) => part?.[2] ?? "")
    .filter((line) => line !== "")
    .join(" ");
  return reply(code, status ?? `${String(code).charAt(0)}.0.0`, text);
}
