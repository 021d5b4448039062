/**
 * Durable messages per second: how fast the spool makes promises, without SMTP, TLS and passwords around it.
 *   node bench/spool.mjs [DIRECTORY]      on the disk of DIRECTORY, else of the temporary folder; build first
 * Prints a line for 1 and for 32 messages at a time: accepted per second, how long one takes (median and 95th
 * percentile, milliseconds), removed per second; and, as the yardstick of this disk at this hour, how many files of
 * the same size are merely written and fsynced per second.
 */
import { mkdtemp, open, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** @type {typeof import("../src/server/spool/spool.ts")} */
const { openSpool } = await import(new URL("../dist/server/spool/spool.js", import.meta.url).href);

const parent = await mkdtemp(join(process.argv[2] ?? tmpdir(), "spool-bench-"));
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
 * Runs `task` so many times, so many at a time. Resolves to runs per second and the sorted times in milliseconds.
 * @param {number} runs
 * @param {number} together
 * @param {() => Promise<void>} task
 */
async function measure(runs, together, task) {
  /** @type {number[]} */
  const times = [];
  let left = runs;
  const started = performance.now();
  async function work() {
    while (left > 0) {
      left -= 1;
      const begun = performance.now();
      await task();
      times.push(performance.now() - begun);
    }
  }
  await Promise.all(Array.from({ length: together }, work));
  const rate = runs / ((performance.now() - started) / 1000);
  return { rate, times: times.sort((a, b) => a - b) };
}

/** @type {(number: number, digits?: number) => string} */
const show = (number, digits = 0) => number.toFixed(digits).padStart(7);

console.log("together  accepted/s  median ms  95 % ms  removed/s  disk alone/s");
for (const [together, runs] of /** @type {const} */ ([
  [1, 1_000],
  [32, 6_000],
])) {
  const spool = await openSpool(join(parent, `spool-${together}`), Date.now);
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
  let name = 0;
  const alone = await measure(runs, together, async () => {
    name += 1;
    const file = await open(join(parent, `file-${together}-${name}`), "wx");
    await file.writeFile(octets);
    await file.sync();
    await file.close();
  });
  const at = (/** @type {number} */ part) => accepted.times[Math.floor(runs * part)] ?? Number.NaN;
  console.log(
    `${show(together)}   ${show(accepted.rate)}     ${show(at(0.5), 1)}  ${show(at(0.95), 1)}    ${show(removed.rate)}       ${show(alone.rate)}`,
  );
  await spool.close();
}
await rm(parent, { recursive: true });
