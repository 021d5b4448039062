/** What processes and all below them use, as /proc tells; and on which core they run. */
import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";

/** Clock ticks a second in /proc. */
const ticks = Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));

/** @param {string} path @returns {string} nothing where the process has ended meanwhile */
function read(path) {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return "";
  }
}

/**
 * @typedef {object} Used seconds of processor
 * @property {number} program
 * @property {number} kernel
 */

/**
 * The processes `roots` and all below them.
 * @param {readonly number[]} roots
 * @returns {ReadonlyMap<number, Used>} what each has used, with those of its children that have ended
 */
export function tree(roots) {
  /** @type {Map<number, Used & { parent: number }>} */
  const all = new Map();
  for (const name of readdirSync("/proc")) {
    if (!/^\d+$/.test(name)) continue;
    const stat = read(`/proc/${name}/stat`);
    const [, parent = 0, ...fields] = stat
      .slice(stat.lastIndexOf(")") + 2)
      .split(" ")
      .map(Number);
    // utime, stime, and those of children that were waited for: fields 14 to 17 of proc(5)
    const [utime = 0, stime = 0, cutime = 0, cstime = 0] = fields.slice(9, 13);
    all.set(Number(name), { parent, program: (utime + cutime) / ticks, kernel: (stime + cstime) / ticks });
  }
  /** @type {(pid: number) => boolean} */
  const belongs = (pid) => roots.includes(pid) || (pid > 1 && belongs(all.get(pid)?.parent ?? 0));
  return new Map([...all].filter(([pid]) => belongs(pid)));
}

/**
 * Seconds of processor that they have used.
 * @param {readonly number[]} roots
 */
export function processorOf(roots) {
  let seconds = 0;
  for (const { program, kernel } of tree(roots).values()) seconds += program + kernel;
  return seconds;
}

/**
 * KiB of memory that they have for themselves, with their share of what they have in common with others.
 * @param {readonly number[]} roots
 */
export function memoryOf(roots) {
  let kibibytes = 0;
  for (const pid of tree(roots).keys()) {
    kibibytes += Number(/^Pss:\s+(\d+)/m.exec(read(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0);
  }
  return kibibytes;
}

/**
 * Has them, with all their threads, and what they start from now on, run on `core` only.
 * @param {readonly number[]} roots
 * @param {number} core
 */
export function pin(roots, core) {
  for (const pid of tree(roots).keys()) {
    execFileSync("taskset", ["-a", "-c", "-p", String(core), String(pid)], { stdio: "ignore" });
  }
}
