/**
 * `npm run demo`: installs, builds, then shows a relay at work (show.mjs).
 * Uses nothing but Node itself, because on a fresh clone there is nothing else.
 */
import "./node.mjs";
import { spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));
/** @param {string} path */
const age = (path) => (existsSync(path) ? statSync(path).mtimeMs : 0);

/**
 * @param {string} what
 * @param {readonly string[]} npmArguments
 */
function step(what, npmArguments) {
  process.stdout.write(`  ${what} … `);
  const started = performance.now();
  const { status, stdout, stderr, error } = spawnSync("npm", npmArguments, { cwd: root, encoding: "utf8" });
  if (status !== 0) {
    process.stdout.write("failed\n");
    process.stderr.write(`${stdout ?? ""}${stderr ?? ""}`);
    process.stderr.write(
      `\nnpm ${npmArguments.join(" ")} did not succeed${error ? `: ${error.message}` : ""}.\n`,
    );
    process.exit(1);
  }
  process.stdout.write(`${((performance.now() - started) / 1000).toFixed(1)} s\n`);
}

process.stdout.write("\ntpa-submit demo\n\n");
// npm writes its hidden lock file last, so it tells whether an installation is complete and current.
if (age(`${root}node_modules/.package-lock.json`) < age(`${root}package-lock.json`)) {
  step("installing packages", ["ci", "--no-audit", "--no-fund"]);
}
step("building", ["run", "build"]);
await import("./show.mjs");
