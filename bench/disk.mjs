/**
 * The two states of a disk. ext4 gives no inode away that was deleted in the last minutes: where many were, it looks at each of
 * them whenever a file is made, and a mail queue that makes and deletes a file for every message lives with that.
 */
import { closeSync, mkdirSync, openSync, rmSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/** How many files are deleted, and how many seconds that may take at most. */
const [deleted, patience] = [20_000, 4];

/**
 * Brings the disk around `folder` into the state after many deletions.
 * @param {string} folder
 * @param {boolean} quick
 */
export function wear(folder, quick) {
  const end = performance.now() + (quick ? 1 : patience) * 1_000;
  within(folder, (path) => {
    let made = 0;
    for (; made < deleted && performance.now() < end; made += 1) make(path(made));
    for (let number = 0; number < made; number += 1) unlinkSync(path(number));
  });
}

/**
 * Microseconds of processor for one new file there, which is the kernel's.
 * @param {string} folder
 */
export function costOfFile(folder) {
  const files = 200;
  return within(folder, (path) => {
    const before = process.cpuUsage();
    for (let number = 0; number < files; number += 1) make(path(number));
    const { user, system } = process.cpuUsage(before);
    return (user + system) / files;
  });
}

/** @param {string} path */
const make = (path) => closeSync(openSync(path, "wx"));

/**
 * @template T
 * @param {string} folder
 * @param {(path: (number: number) => string) => T} task
 */
function within(folder, task) {
  const inside = join(folder, "worn");
  mkdirSync(inside);
  try {
    return task((number) => join(inside, String(number)));
  } finally {
    rmSync(inside, { recursive: true });
  }
}
