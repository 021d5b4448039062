/** All options of the probe, and how a name on a command line finds its row. */
import type { Row } from "./row.ts";
import { arrival } from "./rows/arrival.ts";
import { auth } from "./rows/auth.ts";
import { data } from "./rows/data.ts";
import { output } from "./rows/output.ts";
import { protocol } from "./rows/protocol.ts";
import { proxy } from "./rows/proxy.ts";
import { sources } from "./rows/sources.ts";
import { tls } from "./rows/tls.ts";
import { transport } from "./rows/transport.ts";
import { xclient } from "./rows/xclient.ts";

const all = [
  ...transport,
  ...protocol,
  ...tls,
  ...auth,
  ...data,
  ...xclient,
  ...proxy,
  ...arrival,
  ...output,
  ...sources,
] as const;

/** In the order of the help. */
export const rows: readonly Row[] = all;

/** An option by its first name. */
export type Name = (typeof all)[number]["name"];

/** What a name without its dashes is: an option, or `no-` and an option, which forgets it. */
export interface Meaning {
  readonly row: Row;
  readonly forget: boolean;
}

export const namesOf = (row: Row): readonly string[] => [row.name, ...(row.aliases ?? [])];

/** Abbreviations, which people write with one dash. */
const brief = /^(.{1,3}|tls.{1,2}|dabsp)$/;

/** The names as people write them, `-s` before `--server`; the program takes any dashes. */
export function writtenNames(row: Row): readonly string[] {
  const shorts = (row.aliases ?? []).filter((name) => brief.test(name));
  const longs = (row.aliases ?? []).filter((name) => !brief.test(name));
  const first = row.name.length === 1 ? `-${row.name}` : `--${row.name}`;
  return [...shorts.map((name) => `-${name}`), first, ...longs.map((name) => `--${name}`)];
}

const meanings = new Map<string, Meaning>();
for (const row of rows) {
  for (const name of namesOf(row)) {
    meanings.set(name, { row, forget: false });
    meanings.set(`no-${name}`, { row, forget: true });
  }
}

const byName = new Map(rows.map((row) => [row.name, row]));

/** The row of an option's first name. */
export function rowOf(name: Name): Row {
  const row = byName.get(name);
  if (row === undefined) throw new Error(`no option ${name}`);
  return row;
}

/**
 * What `name` means, written out or cut short where that leaves no doubt. Otherwise the names that it may be short
 * for, sorted; none where it fits nothing. Names that swaks does not know stand back: what is clear to swaks is clear.
 */
export function find(name: string): Meaning | readonly string[] {
  const exact = meanings.get(name);
  if (exact) return exact;
  const fitting = [...meanings.keys()].filter((known) => known.startsWith(name)).sort();
  const theirs = fitting.filter((known) => !meanings.get(known)?.row.ours);
  const candidates = theirs.length > 0 ? theirs : fitting;
  const meant = new Set(candidates.map((known) => keyOf(meanings.get(known))));
  const [only] = candidates;
  const found = meant.size === 1 && only !== undefined ? meanings.get(only) : undefined;
  return found ?? candidates;
}

const keyOf = (meaning: Meaning | undefined): string => `${meaning?.forget} ${meaning?.row.name}`;
