/**
 * The guards against a wrong result, a row each: what makes it suspicious, and the option that allows it once.
 * Pure; man/tpa-submit-sync.8, GUARDS, lists the rows and a test compares.
 */

/** How a search ended, and who asked. */
export interface SearchOutcome {
  /** Whether the bind was not anonymous, and the identities that whoami gave before and after; "" is anonymous. */
  readonly loggedIn: boolean;
  readonly identities: readonly (string | undefined)[];
  /** Entries found. */
  readonly entries: number;
  /** The directory's message where it cut the result short, else "". */
  readonly limit: string;
  /** An empty page came after one that was not empty. */
  readonly emptyPage: boolean;
  /** URLs of other directories that hold more. */
  readonly referrals: readonly string[];
}

/** What a file would lose: `unit` is "logins", "sender addresses" or "logins with keys". */
export interface Loss {
  readonly unit: string;
  readonly present: number;
  readonly next: number;
  readonly lost: number;
  /** Percent of `present` that may be removed. */
  readonly largest: number;
  /** Whether an empty result is suspicious even where the file was empty before. */
  readonly needed: boolean;
  /** Why entries were left out, to name with an empty result: `91 no-password`. */
  readonly excluded: string;
}

interface Guard<Evidence> {
  readonly name: string;
  /** The option that allows it once. */
  readonly flag: string;
  /** What is wrong, or undefined. */
  readonly suspicion: (evidence: Evidence) => string | undefined;
}

export const searchGuards = [
  {
    name: "anonymous",
    flag: "--allow-anonymous",
    suspicion: ({ loggedIn, identities }) =>
      loggedIn && identities.includes("")
        ? "the directory knows us as nobody although we logged in"
        : undefined,
  },
  {
    name: "limit",
    flag: "--allow-partial",
    suspicion: ({ limit, entries }) =>
      limit === "" ? undefined : `the directory stopped after ${entries} entries: ${limit}`,
  },
  {
    name: "incomplete",
    flag: "--allow-partial",
    suspicion: ({ emptyPage, entries }) =>
      emptyPage ? `an empty page came after ${entries} entries, others may be missing` : undefined,
  },
  {
    name: "referral",
    flag: "--allow-referral",
    suspicion: ({ referrals }) =>
      referrals.length === 0 ? undefined : `a part of the tree is elsewhere (${referrals.length} referrals)`,
  },
] as const satisfies readonly Guard<SearchOutcome>[];

export const lossGuards = [
  {
    name: "empty",
    flag: "--allow-empty",
    suspicion: ({ unit, next, present, needed, excluded }) =>
      next === 0 && (needed || present > 0)
        ? `no ${unit} at all${excluded === "" ? "" : ` (left out: ${excluded})`}`
        : undefined,
  },
  {
    name: "shrink",
    flag: "--allow-shrink",
    suspicion: ({ unit, present, next, lost, largest }) =>
      next > 0 && lost * 100 > present * largest
        ? `${lost} of ${present} ${unit} would go, more than ${largest} in a hundred`
        : undefined,
  },
] as const satisfies readonly Guard<Loss>[];

export type GuardName = (typeof searchGuards)[number]["name"] | (typeof lossGuards)[number]["name"];
export type GuardFlag = (typeof searchGuards)[number]["flag"] | (typeof lossGuards)[number]["flag"];

/** A guard that found something suspicious. */
export interface Alarm {
  readonly guard: GuardName;
  readonly flag: GuardFlag;
  readonly suspicion: string;
}

/** What is suspicious about the search. */
export function checkSearch(outcome: SearchOutcome): readonly Alarm[] {
  return searchGuards.flatMap(({ name, flag, suspicion }) => alarm(name, flag, suspicion(outcome)));
}

/** What is suspicious about the logins or addresses that a file would lose. */
export function checkLoss(loss: Loss): readonly Alarm[] {
  return lossGuards.flatMap(({ name, flag, suspicion }) => alarm(name, flag, suspicion(loss)));
}

function alarm(guard: GuardName, flag: GuardFlag, suspicion: string | undefined): readonly Alarm[] {
  return suspicion === undefined ? [] : [{ guard, flag, suspicion }];
}
