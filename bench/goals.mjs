/** What is to be reached, by figure. A goal is judged by the medians of one run. */

/**
 * @typedef {object} Medians
 * @property {number} ours
 * @property {number | undefined} postfix
 * @property {(id: string) => number | undefined} other median of ours of another figure
 */

/**
 * @typedef {object} Goal
 * @property {string} text
 * @property {(medians: Medians) => boolean | undefined} reached nothing where it takes what was not measured
 */

/** @type {(times: number) => Goal} */
const times = (factor) => ({
  text: factor === 1 ? "Postfix's at least" : `${factor} × Postfix`,
  reached: ({ ours, postfix }) => (postfix === undefined ? undefined : ours >= factor * postfix),
});

/** @type {(share: number) => Goal} */
const atMostOfPostfix = (share) => ({
  text: share === 1 ? "Postfix's at most" : `${share} × Postfix at most`,
  reached: ({ ours, postfix }) => (postfix === undefined ? undefined : ours <= share * postfix),
});

/** @type {(bound: number) => Goal} */
const atMost = (bound) => ({ text: `${bound} at most`, reached: ({ ours }) => ours <= bound });

/** @type {(bound: number) => Goal} */
const atLeast = (bound) => ({ text: `${bound} at least`, reached: ({ ours }) => ours >= bound });

/** @type {(id: string, factor: number, text: string) => Goal} */
const below = (id, factor, text) => ({
  text,
  reached({ ours, other }) {
    const yardstick = other(id);
    return yardstick === undefined ? undefined : ours < factor * yardstick;
  },
});

/** @type {Readonly<Record<string, Goal>>} */
export const goals = {
  "spool.rate": times(2.2),
  "spool.cpu": atMostOfPostfix(0.5),
  "spool.p99": atMostOfPostfix(1),
  "spool-worn.rate": times(2.2),
  "spool-worn.cpu": atMostOfPostfix(0.5),
  "spool-worn.p99": atMostOfPostfix(1),
  "drain.rate": times(4),
  "drain-worn.rate": times(4),
  "deliver.rate": times(2.5),
  "deliver-worn.rate": times(2.5),
  "logins.rate": times(1.5),
  "remembered.rate": times(15),
  "one-core.rate": times(2.5),
  "size-1kB.rate": times(1),
  "size-100kB.rate": times(1),
  "size-10MB.rate": times(1),
  "size-100kB.core": atLeast(115), // what KumoMTA publishes for a core, taken in and sent out
  "queue-folders.list": atMost(1),
  "queue-journal.list": atMost(1),
  "queue-folders.known": atMost(2),
  "queue-journal.known": atMost(2),
  "queue-folders.first": atMost(1),
  "queue-journal.first": atMost(1),
  "reload.worst": atMost(50),
  "history.share": atMost(5),
  "history-search.cpu": atMost(1),
  "idle.memory": atMost(75),
  "idle.p99": below("idle.alone", 2, "below twice that without them"),
  "start-probe.time": atMost(240),
  "start-passwd.time": atMost(240),
  "start-passwd-bcrypt.time": atMost(240),
};
