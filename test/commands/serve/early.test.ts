/** SIGHUP in the first moments of the program: before anything of it is loaded, and before that. */
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { program } from "../../../demo/relay.mjs";

/** The launcher asks at once which Node.js runs it; that is when the signal comes. */
const early = `const { versions } = process;
Object.defineProperty(process, "versions", {
  get() {
    if (new Error().stack.includes("/bin/tpa-submit")) process.kill(process.pid, "SIGHUP");
    return versions;
  },
});`;

/** How `tpa-submit WORDS` ends, told SIGHUP as soon as JavaScript of ours runs. */
function hungUp(...words: readonly string[]) {
  const preload = `data:text/javascript,${encodeURIComponent(early)}`;
  const { status, signal } = spawnSync(process.execPath, ["--import", preload, program, ...words], {
    timeout: 20_000,
  });
  return { status, signal };
}

describe("SIGHUP at the first statement", () => {
  test.each([
    ["serve", "--help"],
    ["sync", "--watch", "--help"],
  ])("is no end of %s", (...words) => {
    expect(hungUp(...words)).toEqual({ status: 0, signal: null });
  });

  test.each([
    ["sync", "--help"],
    ["queue", "--help"],
  ])("ends %s, which goes with its terminal", (...words) => {
    expect(hungUp(...words)).toEqual({ status: null, signal: "SIGHUP" });
  });
});

test.each(["tpa-submit.service", "tpa-submit-sync.service"])(
  "%s is started again where SIGHUP came before that",
  (unit) => {
    const text = readFileSync(join(import.meta.dirname, "../../../etc/systemd", unit), "utf8");
    expect(text).toMatch(/^ExecReload=.* -HUP /m);
    expect(text).toMatch(/^RestartForceExitStatus=SIGHUP$/m);
  },
);
