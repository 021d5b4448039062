/** What a new password file would change, person by person, and why; never with a hash in it. */
import { readStored } from "../passwd/stored.ts";
import { type Account, type Exclusion, otherReasons, type Reason } from "./account.ts";
import type { Present } from "./lines.ts";

export interface Step {
  /** A login, or an address in the file of aliases. */
  readonly name: string;
  /** For people. */
  readonly why: string;
}

/** `reason` is missing where the thing that goes is an address. */
export interface Removal extends Step {
  readonly reason?: Reason;
}

export interface Difference {
  readonly added: readonly Step[];
  readonly changed: readonly Step[];
  readonly removed: readonly Removal[];
}

/**
 * From the `present` file to the file `next`. `exclusions` tell why somebody goes; whoever is in none of them went
 * because the directory has no entry, unless `filtered` knows that it has one.
 */
export function difference(
  present: Present,
  next: Present,
  exclusions: readonly Exclusion[],
  filtered: ReadonlySet<string> = new Set(),
): Difference {
  const added: Step[] = [];
  const changed: Step[] = [];
  for (const [login, texts] of next) {
    const before = present.get(login);
    if (before === undefined) added.push({ name: login, why: `new: ${schemes(texts)}` });
    else if (!sameSet(before, texts)) changed.push({ name: login, why: change(before, texts) });
  }
  const reasons = new Map(exclusions.map((exclusion) => [exclusion.login, exclusion]));
  const removed = [...present.keys()]
    .filter((login) => !next.has(login))
    .map((login): Removal => {
      const found = reasons.get(login);
      if (found) return { name: login, reason: found.reason, why: found.detail };
      if (filtered.has(login)) return { name: login, reason: "filtered", why: otherReasons.filtered };
      return { name: login, reason: "absent", why: otherReasons.absent };
    });
  return { added, changed, removed };
}

/** What a new file of aliases would change; each value is the logins that may use the address. */
export function aliasDifference(
  present: ReadonlyMap<string, string>,
  next: ReadonlyMap<string, string>,
): Difference {
  const steps = [...next].map(([name, why]) => ({ name, why, before: present.get(name) }));
  const strip = ({ name, why }: Step): Step => ({ name, why });
  return {
    added: steps.filter(({ before }) => before === undefined).map(strip),
    changed: steps.filter(({ before, why }) => before !== undefined && before !== why).map(strip),
    removed: [...present.keys()]
      .filter((name) => !next.has(name))
      .map((name) => ({ name, why: "nobody has it any more" })),
  };
}

/** The logins of `present` about which the census has nothing to say. */
export function unaccounted(
  present: Present,
  accounts: ReadonlyMap<string, Account>,
  exclusions: readonly Exclusion[],
): readonly string[] {
  const excluded = new Set(exclusions.map(({ login }) => login));
  return [...present.keys()].filter((login) => !accounts.has(login) && !excluded.has(login));
}

/** The algorithm of a hash, or "damaged". */
export function schemeOf(text: string): string {
  const stored = readStored(text);
  return "problem" in stored ? "damaged" : stored.inspection.algorithm;
}

function schemes(texts: readonly string[]): string {
  return texts.length === 0 ? "nothing usable" : texts.map(schemeOf).join(" and ");
}

function change(before: readonly string[], after: readonly string[]): string {
  const gone = before.filter((text) => !after.includes(text));
  const come = after.filter((text) => !before.includes(text));
  if (come.length === 0) return `${schemes(gone)} taken away, ${schemes(after)} left`;
  if (gone.length === 0) return `${schemes(come)} beside ${schemes(before)}`;
  return `${schemes(come)} for ${schemes(gone)}`;
}

function sameSet(one: readonly string[], other: readonly string[]): boolean {
  return one.length === other.length && one.every((text) => other.includes(text));
}
