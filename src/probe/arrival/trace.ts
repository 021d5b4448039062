/**
 * The way of a message as its Received fields tell it (RFC 5321 section 4.4): who had it, and for how long. Clocks of
 * other hosts are other clocks: where a hop seems to take less than no time, or more than there was, that is skew.
 */
import { type Field, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";

export interface Hop {
  /** Host that wrote the field; "" where it does not say. Nothing in it is proven. */
  readonly by: string;
  /** Whom it says it had the message from. */
  readonly from: string;
  /** When, in milliseconds since the epoch, by its own clock; absent where the date cannot be read. */
  readonly at?: number;
  /** Milliseconds since the hop before it, or since sending; absent where either date is. */
  readonly took?: number;
  /** Its clock is that many milliseconds off at least; absent where nothing speaks for that. */
  readonly skew?: number;
}

/** Dates have seconds only, so nothing below one is skew. */
const grain = 1000;

/** No honest way is longer. */
const mostHops = 50;

/**
 * The hops of a message with this header, in the order of its way. `sent` and `arrived` are our own times, in
 * milliseconds since the epoch.
 */
export function hopsOf(header: string, sent: number, arrived: number): readonly Hop[] {
  const fields = splitFields(header).filter((field) => isNamed(field, "Received"));
  const read = fields
    .slice(0, mostHops)
    .reverse()
    .map((field) => readReceived(fieldBody(field)));
  let before = sent;
  return read.map((hop): Hop => {
    if (hop.at === undefined) return hop;
    const took = hop.at - before;
    before = hop.at;
    const off = Math.max(sent - hop.at, hop.at - arrived);
    return { ...hop, took, ...(off >= grain && { skew: off }) };
  });
}

function readReceived(body: string): Hop {
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

// What the receiving side found out about SPF, DKIM and DMARC, from its Authentication-Results (RFC 8601). Anybody on the way can
// write such a field; one counts only if it names a host that the receiving side's own Received fields name, and stands
// above every field that the message had when it left us.

export type Method = "spf" | "dkim" | "dmarc";

/** Results as the fields word them ("pass", "fail", "none", …), by method; a method without one is not there. */
export type Findings = Partial<Readonly<Record<Method, string>>>;

const methods: readonly Method[] = ["spf", "dkim", "dmarc"];

/** No honest header has more; our choice. */
const mostFields = 300;

/**
 * What is found in `header`. `authority` is the name that the receiving side uses for itself where the operator has said
 * so; else it is taken from its topmost Received field.
 */
export function findingsOf(header: string, authority?: string): Findings {
  const fields = splitFields(header).slice(0, mostFields);
  const trusted = fields.filter(
    (field, at) => isNamed(field, "Authentication-Results") && isTheirs(fields, at, authority),
  );
  const found = new Map<Method, string>();
  for (const field of trusted) {
    for (const [method, result] of resultsIn(fieldBody(field))) {
      if (!found.has(method)) found.set(method, result); // the topmost was added last
    }
  }
  return Object.fromEntries(found);
}

function isTheirs(fields: readonly Field[], at: number, authority: string | undefined): boolean {
  const field = fields[at];
  if (field === undefined) return false;
  const named = withoutComments(fieldBody(field)).split(/[;\s]/, 1)[0]?.toLowerCase() ?? "";
  if (authority !== undefined) return named === authority.toLowerCase();
  const top = fields.find((one) => isNamed(one, "Received"));
  const by =
    /(?:^|\s)by\s+([^\s;]+)/i.exec(withoutComments(top ? fieldBody(top) : ""))?.[1]?.toLowerCase() ?? "";
  return named !== "" && sharesDomain(named, by) && isAboveForeign(fields, at, named);
}

/** Whether every Received field above it is written by hosts of the same domain: nobody else has touched it since. */
function isAboveForeign(fields: readonly Field[], at: number, named: string): boolean {
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
function resultsIn(body: string): readonly (readonly [Method, string])[] {
  return withoutComments(body)
    .split(";")
    .slice(1)
    .flatMap((part) => {
      const [, name = "", result = ""] = /^\s*([a-z-]+)(?:\/\d+)?\s*=\s*([a-z]+)/i.exec(part) ?? [];
      const method = methods.find((one) => one === name.toLowerCase());
      return method && result !== "" ? [[method, result.toLowerCase()] as const] : [];
    });
}
