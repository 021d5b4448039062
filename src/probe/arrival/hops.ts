/**
 * The way of a message as its Received fields tell it (RFC 5321 section 4.4): who had it, and for how long. Clocks of
 * other hosts are other clocks: where a hop seems to take less than no time, or more than there was, that is skew.
 */
import { fieldBody, isNamed, splitFields } from "../../smtp/header.ts";

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
