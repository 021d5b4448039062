/** The few kinds that a reader tells apart at a glance, each with a word and a colour of the style sheet. */
import type { Result } from "../../result.ts";
import type { Outcome } from "../../verdict.ts";

export const kinds = {
  inbox: "inbox",
  late: "late",
  spam: "spam",
  lost: "lost or too late",
  failed: "refused or returned",
  unseen: "not known",
} as const;

export type Kind = keyof typeof kinds;

const kindOfOutcome: Readonly<Record<Outcome, Kind | undefined>> = {
  inbox: "inbox",
  pending: undefined, // comes to its end in another result
  delayed: undefined,
  late: "late",
  spam: "spam",
  overdue: "lost",
  lost: "lost",
  returned: "failed",
  refused: "failed",
  down: "failed",
  unseen: "unseen",
};

export const kindOf = ({ outcome }: Result): Kind | undefined => kindOfOutcome[outcome];

/** In the inbox after all. */
export const isGood = (kind: Kind): boolean => kind === "inbox" || kind === "late";

const order = Object.keys(kinds) as readonly Kind[];

/** How many of each kind, the good ones first, without those of which there are none. */
export function countsOf(results: readonly Result[]): readonly (readonly [Kind, number])[] {
  return order
    .map((kind) => [kind, results.filter((result) => kindOf(result) === kind).length] as const)
    .filter(([, count]) => count > 0);
}

/** The worst of some; undefined where nothing has come to its end. */
export function worstOf(results: readonly Result[]): Kind | undefined {
  const found = new Set(results.map(kindOf));
  return (["failed", "lost", "spam", "late", "unseen", "inbox"] as const).find((kind) => found.has(kind));
}
