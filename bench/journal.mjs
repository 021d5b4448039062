/**
 * Promises per second with and without the front journal, one after the other and again, and the processor's time for each.
 *   node bench/journal.mjs [DIRECTORY]      on the disk of DIRECTORY, else of the temporary folder; build first
 * Prints for 1 and for 20 messages of 5 kB at a time: accepted per second, processor milliseconds for each, how long one takes
 * (median and 99th percentile), and the same for the removal of what was accepted.
 */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** @type {typeof import("../src/server/spool/spool.ts")} */
const { openSpool } = await import(new URL("../dist/server/spool/spool.js", import.meta.url).href);
/** @type {typeof import("../src/server/spool/disk.ts")} */
const { systemDisk } = await import(new URL("../dist/server/spool/disk.js", import.meta.url).href);

const parent = await mkdtemp(join(process.argv[2] ?? tmpdir(), "journal-bench-"));
const octets = Buffer.alloc(5_000, "The quick brown fox jumps over the lazy dog.\r\n");
/** @type {import("../src/server/spool/spool.ts").NewEnvelope} */
const toOne = {
  accepted: Date.now(),
  login: "user1",
  sender: "user1@example.org",
  eightBit: false,
  smtputf8: false,
  recipients: [{ address: "x@example.net", state: "waiting" }],
  attempts: 0,
  due: Date.now(),
  warned: false,
};

/**
 * @param {number} runs
 * @param {number} together
 * @param {() => Promise<void>} task
 */
async function measure(runs, together, task) {
  /** @type {number[]} */
  const times = [];
  let left = runs;
  const started = performance.now();
  const before = process.cpuUsage();
  async function work() {
    while (left > 0) {
      left -= 1;
      const begun = performance.now();
      await task();
      times.push(performance.now() - begun);
    }
  }
  await Promise.all(Array.from({ length: together }, work));
  const { user, system } = process.cpuUsage(before);
  times.sort((a, b) => a - b);
  return {
    rate: runs / ((performance.now() - started) / 1000),
    cpu: (user + system) / 1000 / runs,
    median: times[Math.floor(times.length / 2)] ?? 0,
    late: times[Math.floor(times.length * 0.99)] ?? 0,
  };
}

/** @type {(number: number, digits?: number) => string} */
const show = (number, digits = 0) => number.toFixed(digits).padStart(8);

console.log("spool    together accepted/s   CPU ms  p50 ms  p99 ms removed/s   CPU ms");
for (let round = 0; round < 3; round += 1) {
  for (const name of ["files", "journal"]) {
    const settings = name === "files" ? undefined : { segment: 16 * 1024 * 1024, largest: 1024 * 1024 };
    for (const [together, runs] of /** @type {const} */ ([
      [1, name === "files" ? 200 : 1_000],
      [20, name === "files" ? 1_000 : 10_000],
    ])) {
      const folder = join(parent, `${name}-${String(round)}-${String(together)}`);
      const spool = await openSpool(folder, Date.now, systemDisk, settings);
      /** @type {string[]} */
      const ids = [];
      const accepted = await measure(runs, together, async () => {
        const draft = await spool.draft();
        await draft.write(octets);
        ids.push((await draft.accept(toOne)).id);
      });
      const removed = await measure(runs, together, async () => {
        const id = ids.pop();
        if (id !== undefined) await spool.remove(id);
      });
      await spool.close();
      const { rate, cpu, median, late } = accepted;
      console.log(
        name.padEnd(8),
        show(together),
        `${show(rate)}   `,
        show(cpu, 3),
        show(median, 2),
        show(late, 2),
        show(removed.rate),
        show(removed.cpu, 3),
      );
    }
  }
}
await rm(parent, { recursive: true });
