/** Promises by the spool alone, without SMTP, TLS and passwords around it: in files, in the front journal, and in PostgreSQL. */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { interleaved, programs } from "../bench.mjs";
import { journal, knowsDatabases, sharedSpoolOf, spoolOf } from "../fill.mjs";
import { postgresPrograms, startPostgres } from "../postgres.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../bench.mjs").Figure} Figure */
/**
 * @typedef {object} Subject
 * @property {import("../../src/server/spool/spool.ts").Spool} spool
 * @property {() => Promise<void>} stop
 */

const octets = Buffer.alloc(5_000, "The quick brown fox jumps over the lazy dog.\r\n");
const together = 20;

/** @returns {import("../../src/server/spool/spool.ts").NewEnvelope} */
const toOne = () => ({
  accepted: Date.now(),
  login: "user1",
  sender: "user1@example.org",
  eightBit: false,
  smtputf8: false,
  recipients: [{ address: "x@example.net", state: "waiting" }],
  attempts: 0,
  due: Date.now(),
  warned: false,
});

/**
 * @param {number} runs
 * @param {() => Promise<void>} task
 */
async function measure(runs, task) {
  let left = runs;
  const begun = performance.now();
  const before = process.cpuUsage();
  const work = async () => {
    while (left > 0) {
      left -= 1;
      await task();
    }
  };
  await Promise.all(Array.from({ length: together }, work));
  const { user, system } = process.cpuUsage(before);
  return { rate: (1_000 * runs) / (performance.now() - begun), cost: (user + system) / 1_000 / runs };
}

/**
 * @param {Bench} bench
 * @param {object} kind
 * @param {string} kind.id
 * @param {string} kind.text
 * @param {number} kind.runs
 * @param {ReturnType<typeof programs>} kind.sides
 * @param {(checkout: string, folder: string) => Promise<Subject>} kind.open
 */
function promises(bench, { id, text, runs: all, sides, open }) {
  const runs = all / (bench.quick ? 20 : 1);
  const steps = {
    /** @param {ReturnType<typeof programs>[number]} side */
    open: async ({ checkout }) => open(checkout, await bench.workspace.folderFor("promises")),
    /** @param {Subject} subject */
    async measure({ spool }) {
      /** @type {string[]} */
      const ids = [];
      const accepted = await measure(runs, async () => {
        const draft = await spool.draft();
        await draft.write(octets);
        ids.push((await draft.accept(toOne())).id);
      });
      const removed = await measure(runs, async () => {
        const gone = ids.pop();
        if (gone !== undefined) await spool.remove(gone);
      });
      return { accepted, removed };
    },
  };
  return interleaved(bench, sides, steps, [
    { id: `${id}.rate`, text: `promises, ${text}`, unit: "messages/s", of: ({ accepted }) => accepted.rate },
    {
      id: `${id}.cpu`,
      text: `promises, ${text}: processor each`,
      unit: "ms",
      digits: 3,
      of: ({ accepted }) => accepted.cost,
    },
    { id: `${id}.removed`, text: `removals, ${text}`, unit: "messages/s", of: ({ removed }) => removed.rate },
  ]);
}

/**
 * @param {Bench} bench
 * @param {string} id
 * @param {string} text
 * @param {number} runs
 * @param {typeof journal} [settings]
 */
const inFiles = (bench, id, text, runs, settings) => ({
  ...{ id, text, runs, sides: programs(bench) },
  /** @param {string} checkout @param {string} folder */
  async open(checkout, folder) {
    const { openSpool } = await spoolOf(checkout);
    const spool = await openSpool(join(folder, "spool"), Date.now, undefined, settings);
    return { spool, stop: () => spool.close() };
  },
});

/**
 * In a database on the same disk, which says when it has them there.
 * @param {Bench} bench
 */
async function inPostgres(bench) {
  const installed = postgresPrograms();
  if (installed === undefined) return [];
  return promises(bench, {
    ...{ id: "promises-postgres", text: "in PostgreSQL", runs: 6_000 },
    sides: programs(bench).filter(({ checkout }) => knowsDatabases(checkout)),
    async open(checkout, folder) {
      const server = await startPostgres(folder, installed);
      const spool = await sharedSpoolOf(checkout, join(folder, "spool"), (await server.database()).url);
      if (spool === undefined) throw new Error(`${checkout} knows no database`);
      const stop = async () => {
        await spool.close();
        await server.stop();
      };
      return { spool, stop };
    },
  });
}

/**
 * The yardstick of this disk at this hour: files of the same size that are written and fsynced, and nothing else.
 * @param {Bench} bench
 */
function diskAlone(bench) {
  const self = { key: /** @type {const} */ ("ours"), name: "the disk alone" };
  const steps = {
    async open() {
      const folder = await bench.workspace.folderFor("disk");
      return { folder, stop: () => rm(folder, { recursive: true }) };
    },
    /** @param {{ folder: string }} subject @param {number} repeat */
    async measure({ folder }, repeat) {
      let next = 0;
      return measure(bench.quick ? 100 : 2_000, async () => {
        next += 1;
        const file = await open(join(folder, `${repeat}-${next}`), "wx");
        await file.write(octets);
        await file.sync();
        await file.close();
      });
    },
  };
  return interleaved(bench, [self], steps, [
    {
      id: "promises-disk.rate",
      text: "files written and fsynced, nothing else",
      unit: "files/s",
      of: ({ rate }) => rate,
    },
  ]);
}

/** @type {Case} */
export const promisesCase = {
  name: "promises",
  title: "promises by the spool alone, 20 at a time, 5 kB",
  async run(bench) {
    return [
      ...(await promises(bench, inFiles(bench, "promises-files", "in files", 2_000))),
      ...(await promises(bench, inFiles(bench, "promises-journal", "with the journal", 20_000, journal))),
      ...(await inPostgres(bench)),
      ...(await diskAlone(bench)),
    ];
  },
};
