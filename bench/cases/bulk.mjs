/** Mail in bulk: into the spool, and accepted and delivered at the same time; on a worn disk, on one core, and in three sizes. */
import { availableParallelism } from "node:os";
import { interleaved } from "../bench.mjs";
import { costOfFile, wear } from "../disk.mjs";
import { startSink } from "../hops.mjs";
import { load } from "../load.mjs";
import { pin } from "../processes.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../bench.mjs").Figure} Figure */
/** @typedef {import("../bench.mjs").Side} Side */

/**
 * @typedef {object} Bulk
 * @property {string} id that its figures begin with
 * @property {string} text
 * @property {boolean} delivers whether all is delivered as well, or waits
 * @property {boolean} [worn]
 * @property {boolean} [oneCore]
 * @property {Partial<import("../load.mjs").Plan>} [plan]
 */

/**
 * @param {Bench} bench
 * @param {Bulk} bulk
 * @returns {Promise<readonly Figure[]>}
 */
export async function measureBulk(bench, { id, text, delivers, worn = false, oneCore = false, plan }) {
  const { workspace, quick } = bench;
  // With a second core that one is the clients'.
  const serversCore = oneCore ? 0 : undefined;
  const clientsCore = oneCore && availableParallelism() > 1 ? 1 : undefined;
  const seconds = quick ? 1 : 4;

  /** @param {Side} side */
  async function open(side) {
    const sink = await startSink(workspace, bench.hasPostfix);
    const server = await side.start(workspace, { hop: sink.port, hold: !delivers });
    const run = async (/** @type {number} */ time) => {
      const before = sink.taken();
      const busyBefore = sink.processor();
      const done = (/** @type {number} */ sent) => sink.has(before + sent);
      const measured = await load(
        workspace,
        server,
        { ...plan, seconds: time },
        { ...(clientsCore !== undefined && { core: clientsCore }), ...(delivers && { done }) },
      );
      const sinks = (sink.processor() - busyBefore) / measured.seconds;
      return { ...measured, rate: measured.messages / measured.seconds, sinks };
    };
    if (serversCore !== undefined) pin(server.roots(), serversCore);
    await run(quick ? 0.5 : 1.5); // processes are started, and code is compiled
    return {
      async measure() {
        if (worn) wear(workspace.folder, quick);
        const file = costOfFile(workspace.folder);
        return { ...(await run(seconds)), file };
      },
      async stop() {
        await server.stop();
        await sink.stop();
      },
    };
  }

  /** @typedef {Awaited<ReturnType<Awaited<ReturnType<typeof open>>["measure"]>>} Found */
  /** @type {import("../bench.mjs").Row<Found>[]} */
  const rows = [
    { id: `${id}.rate`, text, unit: "messages/s", of: ({ rate }) => rate },
    { id: `${id}.cpu`, text: `${text}: processor each`, unit: "ms", digits: 2, of: ({ cost }) => cost },
    { id: `${id}.p50`, text: `${text}: half take at most`, unit: "ms", digits: 1, of: ({ p50 }) => p50 },
    { id: `${id}.p99`, text: `${text}: 99 % take at most`, unit: "ms", digits: 1, of: ({ p99 }) => p99 },
    {
      id: `${id}.file`,
      text: `${text}: processor of one new file there`,
      unit: "µs",
      of: ({ file }) => file,
    },
    {
      id: `${id}.client`,
      text: `${text}: clients`,
      unit: "% of a core",
      about: "load maker",
      of: ({ client }) => client * 100,
    },
  ];
  if (delivers) {
    rows.push({
      id: `${id}.sink`,
      text: `${text}: smtp-sink`,
      unit: "% of a core",
      about: "load maker",
      of: ({ sinks }) => sinks * 100,
    });
  }
  return interleaved(bench, bench.sides, { open, measure: (subject) => subject.measure() }, rows);
}

/** @type {readonly (readonly [name: string, octets: number])[]} */
const sizes = [
  ["1 kB", 1_000],
  ["100 kB", 100_000],
  ["10 MB", 10_000_000],
];

/** @type {readonly Case[]} */
export const bulkCases = [
  {
    name: "spool",
    title: "(a) into the spool",
    run: (bench) => measureBulk(bench, { id: "spool", text: "into the spool", delivers: false }),
  },
  {
    name: "deliver",
    title: "(c) accepted and delivered",
    run: (bench) => measureBulk(bench, { id: "deliver", text: "accepted and delivered", delivers: true }),
  },
  {
    name: "spool-worn",
    title: "(a) into the spool, on a disk after many deletions",
    run: (bench) =>
      measureBulk(bench, {
        id: "spool-worn",
        text: "into the spool, worn disk",
        delivers: false,
        worn: true,
      }),
  },
  {
    name: "deliver-worn",
    title: "(c) accepted and delivered, on a disk after many deletions",
    run: (bench) =>
      measureBulk(bench, {
        id: "deliver-worn",
        text: "accepted and delivered, worn disk",
        delivers: true,
        worn: true,
      }),
  },
  {
    name: "one-core",
    title: "(a) with the server on one core",
    run: (bench) =>
      measureBulk(bench, {
        id: "one-core",
        text: "into the spool, on one core",
        delivers: false,
        oneCore: true,
      }),
  },
  {
    name: "sizes",
    title: "(c) with messages of 1 kB, 100 kB and 10 MB",
    async run(bench) {
      const figures = [];
      for (const [name, size] of sizes) {
        bench.note(`messages of ${name}`);
        const found = await measureBulk(bench, {
          id: `size-${name.replace(" ", "")}`,
          text: `${name}, accepted and delivered`,
          delivers: true,
          plan: { size },
        });
        figures.push(...found.filter(({ id }) => !id.endsWith(".file")), perCore(name, found));
      }
      return figures;
    },
  },
];

/**
 * Messages a second for each core that is used.
 * @param {string} name
 * @param {readonly Figure[]} figures
 * @returns {Figure}
 */
function perCore(name, figures) {
  const costs = figures.find(({ id }) => id.endsWith(".cpu"))?.values ?? {};
  return {
    id: `size-${name.replace(" ", "")}.core`,
    text: `${name}, accepted and delivered: for each core used`,
    unit: "messages/s",
    values: Object.fromEntries(
      Object.entries(costs).map(([key, values]) => [key, values.map((cost) => 1_000 / cost)]),
    ),
  };
}
