/**
 * The two states of a disk. ext4 gives no inode away that was deleted in the last minutes, as long as it can: where many were, it
 * looks at each of them whenever a file is made, and a mail queue that makes and deletes a file for every message lives with that.
 */
import { closeSync, openSync, unlinkSync } from "node:fs";
import { join } from "node:path";

/** A disk counts as worn where a new file takes so many microseconds; on a fresh one it is 10 to 50. */
const worn = 250;

/** How many files are deleted at a time, as many as a group of ext4's inodes has; and for how many seconds it is tried. */
const [deleted, patience] = [8_000, 20];

/**
 * Brings the disk into the state after many deletions, if it is not in it. All that the bench makes is near its folder, and so
 * all servers meet the same state; how far it went is measured before each repeat.
 * @param {string} folder of the workspace
 * @param {boolean} quick
 */
export function wear(folder, quick) {
  const end = performance.now() + (quick ? 1 : patience) * 1_000;
  while (performance.now() < end && costOfFile(folder) < worn)
    makeAndDelete(folder, deleted, (end - performance.now()) / 1_000);
}

/**
 * Microseconds of processor for one new file there, which is the kernel's.
 * @param {string} folder
 */
export function costOfFile(folder) {
  const files = 200;
  return makeAndDelete(folder, files, Number.POSITIVE_INFINITY) / files;
}

/**
 * Makes that many files, or as many as it can in those seconds, and deletes them all.
 * @param {string} folder
 * @param {number} files
 * @param {number} seconds
 * @returns microseconds of processor to make them
 */
function makeAndDelete(folder, files, seconds) {
  const path = (/** @type {number} */ number) => join(folder, `worn-${number}`);
  const end = performance.now() + seconds * 1_000;
  const before = process.cpuUsage();
  let made = 0;
  for (; made < files && performance.now() < end; made += 1) closeSync(openSync(path(made), "wx", 0o600));
  const { user, system } = process.cpuUsage(before);
  for (let number = 0; number < made; number += 1) unlinkSync(path(number));
  return user + system;
}
