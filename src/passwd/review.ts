/** What a password file looks like to somebody who cares for it: schemes, weak entries, lines of no use. No hashes. */
import { type EntryLine, isEntry, type PasswordLine, type ShutLine } from "./passwordfile.ts";

/** Entries of one algorithm and cost. */
export interface Kind {
  readonly algorithm: string;
  readonly cost: string;
  /** "" where it is fit for use. */
  readonly weakness: string;
  readonly lines: readonly EntryLine[];
}

export interface Review {
  /** The commonest first. */
  readonly kinds: readonly Kind[];
  readonly shut: readonly ShutLine[];
}

export function reviewLines(lines: readonly PasswordLine[]): Review {
  const kinds = new Map<string, Kind>();
  for (const line of lines.filter(isEntry)) {
    const { algorithm, cost, weakness } = line.stored.inspection;
    const key = `${algorithm} ${cost}`;
    kinds.set(key, { algorithm, cost, weakness, lines: [...(kinds.get(key)?.lines ?? []), line] });
  }
  return {
    kinds: [...kinds.values()].sort((one, other) => other.lines.length - one.lines.length),
    shut: lines.flatMap((line) => (isEntry(line) ? [] : line)),
  };
}
