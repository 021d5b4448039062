/** All options of the probe, and how a name on a command line finds its row. */
import { arrivalOptions } from "./arrival.ts";
import { authOptions } from "./auth.ts";
import { dataOptions } from "./data.ts";
import type { OptionGroup, OptionRow } from "./option.ts";
import { outputOptions } from "./output.ts";
import { protocolOptions } from "./protocol.ts";
import { proxyOptions } from "./proxy.ts";
import { tlsOptions } from "./tls.ts";
import { transportOptions } from "./transport.ts";
import { xclientOptions } from "./xclient.ts";

const sourceOptions = {
  title: "Where options come from",
  rows: [
    {
      name: "config",
      argument: "optional",
      placeholder: "FILE",
      standard: "the first .swaksrc in $SWAKS_HOME, $HOME and $LOGDIR",
      help: "Read options from this file; without a value from none. Each line is one option; # begins a comment.",
      example: "--config probe.conf -t bob@example.org -s mail.example.org",
    },
    {
      name: "trigger-deprecation",
      argument: "wanted",
      placeholder: "TEXT",
      help: "Show how a warning about an option that will go looks. No option will, at present.",
      example: "--trigger-deprecation x --version",
    },
  ],
} as const satisfies OptionGroup;

const all = [
  transportOptions,
  protocolOptions,
  tlsOptions,
  authOptions,
  dataOptions,
  xclientOptions,
  proxyOptions,
  arrivalOptions,
  outputOptions,
  sourceOptions,
] as const;

/** In the order of the help. */
export const groups: readonly OptionGroup[] = all;
export const rows: readonly OptionRow[] = groups.flatMap((group) => group.rows);

/** An option by its first name. */
export type OptionName = (typeof all)[number]["rows"][number]["name"];

/** What a name without its dashes is: an option, or `no-` and an option, which forgets it. */
export interface OptionMeaning {
  readonly row: OptionRow;
  readonly forget: boolean;
}

const namesOf = (row: OptionRow): readonly string[] => [row.name, ...(row.aliases ?? [])];

/** Abbreviations, which people write with one dash. */
const brief = /^(.{1,3}|tls.{1,2}|dabsp)$/;

/** The names as people write them, `-s` before `--server`; the program takes any dashes. */
export function writtenNames(row: OptionRow): readonly string[] {
  const shorts = (row.aliases ?? []).filter((name) => brief.test(name));
  const longs = (row.aliases ?? []).filter((name) => !brief.test(name));
  const first = row.name.length === 1 ? `-${row.name}` : `--${row.name}`;
  return [...shorts.map((name) => `-${name}`), first, ...longs.map((name) => `--${name}`)];
}

const meanings = new Map<string, OptionMeaning>();
for (const row of rows) {
  for (const name of namesOf(row)) {
    meanings.set(name, { row, forget: false });
    meanings.set(`no-${name}`, { row, forget: true });
  }
}

/**
 * What `name` means, written out or cut short where that leaves no doubt. Otherwise the names that it may be short for,
 * sorted; none where it fits nothing. Names that swaks does not have come second: what is clear to swaks is clear here.
 */
export function find(name: string): OptionMeaning | readonly string[] {
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

const keyOf = (meaning: OptionMeaning | undefined): string => `${meaning?.forget} ${meaning?.row.name}`;
