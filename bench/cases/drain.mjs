/** A queue that is let go: how fast it reaches the next hop. */
import { interleaved } from "../bench.mjs";
import { wear } from "../disk.mjs";
import { startSink } from "../hops.mjs";
import { load } from "../load.mjs";
import { processorOf } from "../processes.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */

/**
 * The clock, and the count of processor time, runs from the first message at the next hop to the last. A tpa-submit is started
 * anew to let go, so its code is compiled meanwhile; Postfix starts its delivery agents.
 * @param {Bench} bench
 * @param {string} id
 * @param {string} text
 * @param {{ worn?: boolean, length?: number }} [what]
 */
function drain(bench, id, text, { worn = false, length = 3_000 } = {}) {
  const { workspace, quick } = bench;
  const messages = quick ? 300 : length;
  const steps = {
    open: async () => {
      const sink = await startSink(workspace, bench.hasPostfix);
      return { sink, stop: sink.stop };
    },
    /** @type {(subject: { sink: import("../hops.mjs").Sink }, repeat: number, side: import("../bench.mjs").Side) => Promise<{ rate: number, cost: number, sinks: number }>} */
    measure: async ({ sink }, _repeat, side) => {
      const server = await side.start(workspace, { hop: sink.port, hold: true });
      try {
        await load(workspace, server, { messages, seconds: 60 });
        if (worn) wear(workspace.folder, quick);
        const before = sink.taken();
        const first = sink.has(before + 1);
        await server.release();
        const begun = await first;
        const [counted, used, busy] = [sink.taken(), processorOf(server.roots()), sink.processor()];
        const seconds = ((await sink.has(before + messages)) - begun) / 1_000;
        const left = messages - (counted - before);
        const cost = (1_000 * (processorOf(server.roots()) - used)) / left;
        return { rate: left / seconds, cost, sinks: (100 * (sink.processor() - busy)) / seconds };
      } finally {
        await server.stop();
      }
    },
  };
  return interleaved(bench, bench.sides, steps, [
    { id: `${id}.rate`, text, unit: "messages/s", of: ({ rate }) => rate },
    { id: `${id}.cpu`, text: `${text}: processor each`, unit: "ms", digits: 2, of: ({ cost }) => cost },
    {
      id: `${id}.sink`,
      text: `${text}: smtp-sink`,
      unit: "% of a core",
      about: "load maker",
      of: ({ sinks }) => sinks,
    },
  ]);
}

/** @type {readonly Case[]} */
export const drainCases = [
  {
    name: "drain",
    title: "(b) a queue to smtp-sink",
    run: (bench) => drain(bench, "drain", "a queue to smtp-sink"),
  },
  {
    name: "drain-long",
    title: "(b) a queue of 30 000 to smtp-sink, where the compiling of code counts less",
    asked: true,
    run: (bench) => drain(bench, "drain-long", "a queue of 30 000 to smtp-sink", { length: 30_000 }),
  },
  {
    name: "drain-worn",
    title: "(b) a queue to smtp-sink, on a disk after many deletions",
    run: (bench) => drain(bench, "drain-worn", "a queue to smtp-sink, worn disk", { worn: true }),
  },
];
