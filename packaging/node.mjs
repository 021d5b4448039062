/**
 * Node.js itself, for the package of Debian 12, whose own is too old: the one program out of the npm package that its
 * project publishes for each kind of machine.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { existsSync, mkdirSync, mkdtempSync, readFileSync, renameSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** A version that .ci/run tests with. The sums make two builds the same, and a changed download an error. */
export const nodeVersion = "24.22.3";

/** Debian's word for the machine, npm's, and the sum of npm's package. */
export const machines = {
  x64: {
    debian: "amd64",
    sha512: "KHsob+Fv9YerATvYujMbiyJqnRCvLtrcr/eTNqRqiOSGp97EOiRP1yP47+knGgQ/xnc3XY8xzkW587dlZzNqRA==",
  },
  arm64: {
    debian: "arm64",
    sha512: "IZx0J52/1NDwAsY2iyWR9nlPIYuYviTWetjj8+ElvYQh2+XRhLfCfkbFEF/2O5vGI2hcUbyPNHV+nz342FbJXw==",
  },
};

/** @param {string} machine npm's word for it */
export function machineOf(machine) {
  const found = Object.entries(machines).find(([name]) => name === machine);
  if (!found)
    throw new Error(
      `there is no Node.js to pack for ${machine}, only for ${Object.keys(machines).join(" and ")}`,
    );
  return found[1];
}

/**
 * The folder with `bin/node` and `LICENSE`, downloaded where it is not in the cache.
 * @param {string} machine
 * @returns {string}
 */
export function fetchNode(machine) {
  const { sha512 } = machineOf(machine);
  const cache = join(
    process.env["XDG_CACHE_HOME"] ?? join(process.env["HOME"] ?? tmpdir(), ".cache"),
    "tpa-submit",
  );
  const folder = join(cache, `node-linux-${machine}-${nodeVersion}`);
  if (existsSync(folder)) return folder;
  mkdirSync(cache, { recursive: true });
  const draft = mkdtempSync(join(cache, "draft-"));
  try {
    const name = `node-linux-${machine}@${nodeVersion}`;
    const file = execFileSync("npm", ["pack", "--silent", name], { cwd: draft, encoding: "utf8" }).trim();
    const found = createHash("sha512")
      .update(readFileSync(join(draft, file)))
      .digest("base64");
    if (found !== sha512) throw new Error(`${name}: expected the sum ${sha512}, found ${found}`);
    execFileSync("tar", ["-xzf", file, "package/bin/node", "package/LICENSE"], { cwd: draft });
    renameSync(join(draft, "package"), folder);
  } finally {
    rmSync(draft, { recursive: true, force: true });
  }
  return folder;
}

// By itself: fetches it for this machine, for who will be offline.
if (process.argv[1] === fileURLToPath(import.meta.url)) fetchNode(process.arch);
