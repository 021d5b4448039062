/** A server's reply to EHLO or LHLO: its extensions (RFC 5321 section 4.1.1.1) and limits (RFC 9422). */

/** The extensions that our clients use. */
export type Extension =
  | "8BITMIME"
  | "AUTH"
  | "DSN"
  | "PIPELINING"
  | "REQUIRETLS"
  | "SIZE"
  | "SMTPUTF8"
  | "STARTTLS";

/** By keyword in upper case: its parameters. */
export type Keywords = ReadonlyMap<string, readonly string[]>;

/**
 * The keywords in the lines of a reply, codes included. The first line has the server's name and no keyword. Old
 * servers write `AUTH=`.
 */
export function keywordsIn(lines: readonly string[]): Keywords {
  const keywords = new Map<string, string[]>();
  for (const line of lines.slice(1)) {
    const [, keyword = "", rest = ""] = /^\d{3}[ -]([^ \t=]+)[ \t=]?(.*)$/s.exec(line) ?? [];
    if (keyword === "") continue;
    const words = rest.split(/\s+/).filter((word) => word !== "");
    const known = keywords.get(keyword.toUpperCase()) ?? [];
    for (const word of words) known.push(word);
    keywords.set(keyword.toUpperCase(), known);
  }
  return keywords;
}

/** How much a server accepts at a time. Infinity if it does not say. */
export interface ServerLimits {
  /** Octets of a message (RFC 1870 section 4). */
  readonly size: number;
  /** Messages in one session. */
  readonly mails: number;
  /** Recipients of one message. */
  readonly recipients: number;
  /** Domains of these recipients. */
  readonly domains: number;
}

/** Reads SIZE and LIMITS; unknown limits are ignored. */
export function limitsIn(keywords: Keywords): ServerLimits {
  const words = keywords.get("LIMITS") ?? [];
  const limit = (name: string): number => {
    const word = words.find((one) => one.toUpperCase().startsWith(`${name}=`)) ?? "";
    return positive(word.slice(name.length + 1), 6);
  };
  return {
    size: positive(keywords.get("SIZE")?.[0] ?? "", 20),
    mails: limit("MAILMAX"),
    recipients: limit("RCPTMAX"),
    domains: limit("RCPTDOMAINMAX"),
  };
}

/** A number of at most so many digits; Infinity for 0 and for anything else. */
function positive(text: string, digits: number): number {
  const number = /^\d+$/.test(text) && text.length <= digits ? Number(text) : 0;
  return number > 0 ? number : Number.POSITIVE_INFINITY;
}
