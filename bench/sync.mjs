/**
 * How long a whole directory takes: test/ldap/many.test.ts with 50 000 entries, against the real slapd over ldaps.
 *   node bench/sync.mjs [ENTRIES]      build first; needs slapd and ldap-utils
 * Prints the first run, which writes the file, and the second, which finds it up to date: seconds on the wall,
 * seconds of processor, memory at its height. Fails above 5 s of processor or 400 MB.
 */
import { spawn } from "node:child_process";
import { fileURLToPath } from "node:url";

const child = spawn(
  process.execPath,
  ["node_modules/vitest/vitest.mjs", "run", "--silent=false", "test/ldap/many.test.ts"],
  {
    cwd: fileURLToPath(new URL("..", import.meta.url)),
    env: { ...process.env, TPA_SUBMIT_ENTRIES: process.argv[2] ?? "50000" },
    stdio: "inherit",
  },
);
child.on("close", (status) => {
  process.exitCode = status ?? 1;
});
