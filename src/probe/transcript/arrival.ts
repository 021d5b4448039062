/** What became of a message, in the lines that stand at the end of the transcript: pure. */
import type { Hop } from "../arrival/hops.ts";
import { type Result, seconds } from "../result.ts";
import type { Fate } from "../verdict.ts";

/** The verdict, and for what arrived its hops, what the receiving side found, and what was changed; a line each, plain text. */
export function arrivalLines({ words }: Result, fate: Fate): readonly string[] {
  if (fate.kind !== "arrived") return [`The message did not arrive: ${words}`];
  const found = (["spf", "dkim", "dmarc"] as const).map(
    (method) => `${method.toUpperCase()} ${fate.findings[method] ?? "not told"}`,
  );
  const changes = fate.changes.map(({ kind, field }) => plain(kinds[kind](field)));
  return [
    `The message arrived ${words}`,
    ...fate.hops.map((hop, at) => plain(`Hop ${at + 1}: ${hopWords(hop)}`)),
    `The receiving side says: ${found.join(", ")}`,
    `Changed on the way: ${changes.length === 0 ? "nothing" : changes.join(", ")}`,
  ];
}

const kinds = {
  "field-gone": (field: string) => `${field} is gone`,
  "field-changed": (field: string) => `${field} is another`,
  "field-added": (field: string) => `${field} was added`,
  "body-changed": () => "the body is another",
} as const;

function hopWords({ by, from, took, skew }: Hop): string {
  const who = `${by === "" ? "somebody" : by}${from === "" ? "" : ` from ${from}`}`;
  const time = took === undefined ? "at a time that cannot be read" : `after ${duration(took)}`;
  return `${who}, ${time}${skew === undefined ? "" : `; its clock is off by ${seconds(skew)} or more`}`;
}

const duration = (took: number): string => (took < 0 ? `-${seconds(-took)}` : seconds(took));

/** Strangers wrote the names. */
const plain = (text: string): string => text.replace(/[^\x20-\x7e]+/g, "?").slice(0, 300);
