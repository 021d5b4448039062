/** Promises by the spool alone, without SMTP, TLS and passwords around it: in files, and in the front journal. */
import { open, rm } from "node:fs/promises";
import { join } from "node:path";
import { interleaved, programs } from "../bench.mjs";
import { journal, spoolOf } from "../fill.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../bench.mjs").Figure} Figure */

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
 * @param {string} id
 * @param {string} text
 * @param {typeof journal | undefined} settings
 */
function promises(bench, id, text, settings) {
  const runs = (settings ? 20_000 : 2_000) / (bench.quick ? 20 : 1);
  const steps = {
    /** @param {ReturnType<typeof programs>[number]} side */
    async open({ checkout }) {
      const { openSpool } = await spoolOf(checkout);
      const folder = join(await bench.workspace.folderFor("promises"), "spool");
      const spool = await openSpool(folder, Date.now, undefined, settings);
      return { spool, stop: () => spool.close() };
    },
    /** @param {{ spool: import("../../src/server/spool/spool.ts").Spool }} subject */
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
  return interleaved(bench, programs(bench), steps, [
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
      ...(await promises(bench, "promises-files", "in files", undefined)),
      ...(await promises(bench, "promises-journal", "with the journal", journal)),
      ...(await diskAlone(bench)),
    ];
  },
};
