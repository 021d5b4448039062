/** What the cases have in common: whom to measure, how long and how often, and the form of what they find. */

/** @typedef {import("./sides.mjs").Key} Key */
/** @typedef {import("./sides.mjs").Side} Side */
/** @typedef {import("./workspace.mjs").Workspace} Workspace */

/**
 * @typedef {object} Bench
 * @property {Workspace} workspace
 * @property {readonly Side[]} sides
 * @property {boolean} quick a few seconds for a case, to see that it works: its figures are worth nothing
 * @property {boolean} hasPostfix with its smtp-sink and smtp-source
 * @property {number} repeats
 * @property {(text: string) => void} note says what is going on
 */

/**
 * @typedef {object} Figure one row of the table
 * @property {string} id under which goals.mjs may have a goal
 * @property {string} text
 * @property {string} unit
 * @property {number} [digits] behind the point
 * @property {"load maker"} [about] where it tells of the clients and not of the servers
 * @property {Partial<Record<Key, readonly number[]>>} values one for each repeat
 */

/**
 * @typedef {object} Case
 * @property {string} name
 * @property {string} title
 * @property {boolean} [asked] whether it runs only when it is named
 * @property {(bench: Bench) => Promise<readonly Figure[]>} run
 */

/**
 * @template T
 * @typedef {Omit<Figure, "values"> & { of: (measured: T) => number }} Row how a figure is read from what was measured
 */

/** Only those sides that are a tpa-submit. */
export const programs = (/** @type {Bench} */ { sides }) =>
  sides.flatMap(({ key, name, checkout }) => (checkout === undefined ? [] : [{ key, name, checkout }]));

/**
 * Measures the sides in turn, the other way round in every second repeat, so that what else happens on the machine hits all
 * of them. Each subject is made by `open` first, and stays until all repeats are done.
 * @template {{ key: Key, name: string }} S
 * @template {{ stop: () => Promise<void> }} Subject
 * @template T
 * @param {Bench} bench
 * @param {readonly S[]} sides
 * @param {object} steps
 * @param {(side: S) => Promise<Subject>} steps.open
 * @param {(subject: Subject, repeat: number, side: S) => Promise<T>} steps.measure
 * @param {readonly Row<T>[]} rows
 * @returns {Promise<readonly Figure[]>}
 */
export async function interleaved(bench, sides, { open, measure }, rows) {
  /** @type {{ side: S, subject: Subject, found: T[] }[]} */
  const subjects = [];
  try {
    for (const side of sides) subjects.push({ side, subject: await open(side), found: [] });
    for (let repeat = 0; repeat < bench.repeats; repeat += 1) {
      for (const { side, subject, found } of repeat % 2 === 0 ? subjects : subjects.toReversed()) {
        bench.note(`${repeat + 1} of ${bench.repeats}, ${side.name}`);
        found.push(await measure(subject, repeat, side));
      }
    }
  } finally {
    for (const { subject } of subjects) await subject.stop();
  }
  return rows.map(({ of, ...row }) => {
    const values = subjects.map(({ side, found }) => /** @type {const} */ ([side.key, found.map(of)]));
    // What a side does not have is no number.
    return { ...row, values: Object.fromEntries(values.filter(([, all]) => !all.some(Number.isNaN))) };
  });
}

/** What has nothing to be stopped. */
export const nothing = { stop: async () => {} };

/** @param {readonly number[] | undefined} values */
export function median(values) {
  const sorted = (values ?? []).toSorted((one, other) => one - other);
  const middle = sorted.length / 2;
  if (sorted.length === 0) return undefined;
  return ((sorted[Math.ceil(middle) - 1] ?? 0) + (sorted[Math.floor(middle)] ?? 0)) / 2;
}
