/**
 * What the trace fields of an arrived message tell. Received (RFC 5321 section 4.4): which hosts had it, and for how
 * long; a hop that seems to take less than no time, or more than there was, has a wrong clock. Authentication-Results
 * (RFC 8601): what the receiving side found out about SPF, DKIM and DMARC.
 */
import { fieldBody, type HeaderField, isNamed, splitFields } from "../../smtp/header.ts";

export interface ReceivedHop {
  /** The host that wrote the field, as it says; "" where it does not. */
  readonly by: string;
  /** The host that it had the message from, as it says. */
  readonly from: string;
  /** When, in milliseconds since the epoch, by its own clock; absent where the date cannot be read. */
  readonly at?: number;
  /** Milliseconds since the hop before it, or since sending; absent where either date is. */
  readonly took?: number;
  /** Its clock is wrong by that many milliseconds at least; absent where nothing shows that. */
  readonly skew?: number;
}

/** Dates have seconds only, so nothing below one is skew. */
const grain = 1000;

/** More than any real message has. */
const mostHops = 50;

/**
 * The hops of a message with this header, the first hop first. `sent` and `arrived` are our own times, in
 * milliseconds since the epoch.
 */
export function hopsOf(header: string, sent: number, arrived: number): readonly ReceivedHop[] {
  const fields = splitFields(header).filter((field) => isNamed(field, "Received"));
  const read = fields
    .slice(0, mostHops)
    .reverse()
    .map((field) => readReceived(fieldBody(field)));
  let before = sent;
  return read.map((hop): ReceivedHop => {
    if (hop.at === undefined) return hop;
    const took = hop.at - before;
    before = hop.at;
    const off = Math.max(sent - hop.at, hop.at - arrived);
    return { ...hop, took, ...(off >= grain && { skew: off }) };
  });
}

function readReceived(body: string): ReceivedHop {
  const bare = withoutComments(body);
  const at = Date.parse(withoutComments(body.slice(body.lastIndexOf(";") + 1)).trim());
  const word = (name: string): string =>
    new RegExp(`(?:^|\\s)${name}\\s+([^\\s;]{1,255})`, "i").exec(bare)?.[1] ?? "";
  return { by: word("by"), from: word("from"), ...(!Number.isNaN(at) && body.includes(";") && { at }) };
}

/** RFC 5322 section 3.2.2: comments nest, and a backslash takes the next character's meaning. */
export function withoutComments(body: string): string {
  let depth = 0;
  let text = "";
  for (let at = 0; at < body.length; at++) {
    const character = body[at] ?? "";
    if (character === "\\" && depth > 0) at++;
    else if (character === "(") depth++;
    else if (character === ")" && depth > 0) depth--;
    else if (depth === 0) text += character;
  }
  return text;
}

export type AuthenticationMethod = "spf" | "dkim" | "dmarc";

/** Results as the fields word them ("pass", "fail", "none", …), by method; a method without one is not there. */
export type AuthenticationResults = Partial<Readonly<Record<AuthenticationMethod, string>>>;

const methods: readonly AuthenticationMethod[] = ["spf", "dkim", "dmarc"];

/** More than any real header has; our choice. */
const mostFields = 300;

/**
 * The results in `header`. Anybody on the way can write such a field, so one counts only if it names a host of the
 * receiving side and stands above all fields that the message had when it left us. `authority` is the receiving side's
 * authserv-id, where the operator has given it; else its host is taken from the topmost Received field.
 */
export function findingsOf(header: string, authority?: string): AuthenticationResults {
  const fields = splitFields(header).slice(0, mostFields);
  const trusted = fields.filter(
    (field, at) => isNamed(field, "Authentication-Results") && isTheirs(fields, at, authority),
  );
  const found = new Map<AuthenticationMethod, string>();
  for (const field of trusted) {
    for (const [method, result] of resultsIn(fieldBody(field))) {
      if (!found.has(method)) found.set(method, result); // the topmost was added last
    }
  }
  return Object.fromEntries(found);
}

function isTheirs(fields: readonly HeaderField[], at: number, authority: string | undefined): boolean {
  const field = fields[at];
  if (field === undefined) return false;
  const named = withoutComments(fieldBody(field)).split(/[;\s]/, 1)[0]?.toLowerCase() ?? "";
  if (authority !== undefined) return named === authority.toLowerCase();
  const top = fields.find((one) => isNamed(one, "Received"));
  const by =
    /(?:^|\s)by\s+([^\s;]+)/i.exec(withoutComments(top ? fieldBody(top) : ""))?.[1]?.toLowerCase() ?? "";
  return named !== "" && sharesDomain(named, by) && isAboveForeign(fields, at, named);
}

/** Whether hosts of the same domain wrote every Received field above it: nobody else has handled it since. */
function isAboveForeign(fields: readonly HeaderField[], at: number, named: string): boolean {
  return fields
    .slice(0, at)
    .filter((field) => isNamed(field, "Received"))
    .every((field) => {
      const by = /(?:^|\s)by\s+([^\s;]+)/i.exec(withoutComments(fieldBody(field)))?.[1]?.toLowerCase() ?? "";
      return by === "" || sharesDomain(named, by);
    });
}

/** Equal, or under the same parent of two labels at least. */
function sharesDomain(one: string, other: string): boolean {
  if (one === other) return true;
  const parent = (name: string): string => name.split(".").slice(-2).join(".");
  return parent(one).includes(".") && parent(one) === parent(other);
}

/** `dkim=pass header.d=example.org; spf=fail …`: each method with its result. */
function resultsIn(body: string): readonly (readonly [AuthenticationMethod, string])[] {
  return withoutComments(body)
    .split(";")
    .slice(1)
    .flatMap((part) => {
      const [, name = "", result = ""] = /^\s*([a-z-]+)(?:\/\d+)?\s*=\s*([a-z]+)/i.exec(part) ?? [];
      const method = methods.find((one) => one === name.toLowerCase());
      return method && result !== "" ? [[method, result.toLowerCase()] as const] : [];
    });
}
