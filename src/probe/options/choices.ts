/** What was chosen, all sources together, later ones over earlier ones; nothing is read or asked for yet. */

import type { Name } from "./table.ts";
import type { Setting } from "./words.ts";

/** One option that counts, in the place in which it was given. */
export interface Choice {
  readonly name: Name;
  readonly value?: string;
  readonly visible: boolean;
}

export interface Choices {
  /** All that count, in the order given: one of each name, but for lists. */
  readonly all: readonly Choice[];
  /** The last choice of this name. */
  get(name: Name): Choice | undefined;
  readonly has: (name: Name) => boolean;
}

/** Lets later settings replace earlier ones, lists grow, and `--no-NAME` forget. */
export function choose(settings: readonly Setting[]): Choices {
  let all: Choice[] = [];
  for (const { row, forget, value, visible } of settings) {
    if (forget || !row.list) all = all.filter((choice) => choice.name !== row.name);
    if (forget) continue;
    all.push({ name: row.name as Name, visible, ...(value === undefined ? {} : { value }) });
  }
  const get = (name: Name): Choice | undefined => all.findLast((choice) => choice.name === name);
  return { all, get, has: (name) => get(name) !== undefined };
}
