/**
 * Loaded into the relay by --import: from the moment at which it opens a file of the maildrop, it counts what changes the
 * disk, and dies by SIGKILL just before or just after one of these. TPA_SUBMIT_DEADLY is "before 3" or "after 3". Each is
 * told on standard error, so that the test knows what there was.
 */
import fs, { writeSync } from "node:fs";
import { open as openFile } from "node:fs/promises";
import { syncBuiltinESMExports } from "node:module";
import { isMainThread } from "node:worker_threads";

const [when = "", number = "0"] = (process.env["TPA_SUBMIT_DEADLY"] ?? "").split(" ");
let hasBegun = false;
let count = 0;

/**
 * @template Result
 * @param {string} what
 * @param {() => Promise<Result>} work
 * @returns {Promise<Result>}
 */
async function deadly(what, work) {
  if (!hasBegun) return work();
  count += 1;
  const mine = count;
  if (when === "before" && mine === Number(number)) die();
  const result = await work();
  writeSync(2, `deadly ${mine}: ${what}\n`);
  if (when === "after" && mine === Number(number)) die();
  return result;
}

function die() {
  process.kill(process.pid, "SIGKILL");
  for (;;); // not one step further
}

if (isMainThread && when !== "") {
  const { open, rename, unlink } = fs.promises;
  fs.promises.open = async (path, ...more) => {
    hasBegun ||= /\/maildrop\/[0-9a-f]{32}$/.test(String(path));
    return open(path, ...more);
  };
  fs.promises.unlink = (path) => deadly("unlink", () => unlink(path));
  fs.promises.rename = (from, to) => deadly("rename", () => rename(from, to));
  const some = await openFile("/dev/null");
  const prototype = Object.getPrototypeOf(some);
  await some.close();
  for (const name of ["sync", "datasync", "write", "writev", "writeFile", "appendFile"]) {
    const real = prototype[name];
    prototype[name] = function (/** @type {unknown[]} */ ...words) {
      return deadly(name, () => Reflect.apply(real, this, words));
    };
  }
  syncBuiltinESMExports();
}
