import { spawnSync } from "node:child_process";
import { describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";

/** What a shell makes of `line`, in which "probe" is the program. */
function shell(line: string): readonly [status: number | null, stderr: string] {
  const ran = spawnSync(
    "/bin/bash",
    ["-c", `set -o pipefail; probe() { "${program}" probe "$@"; }; ${line}`],
    {
      encoding: "utf8",
    },
  );
  return [ran.status, ran.stderr];
}

const full = "*** Cannot write to standard output: No space left on device\n";

describe.concurrent("output that cannot be written", () => {
  test.each([
    ["probe --help >/dev/full", 1, full],
    ["probe --dump -s x -t bob >/dev/full", 1, full],
    ["probe -s 127.0.0.1 -p 1 -t bob -ha >/dev/full", 2, ""],
    ["probe -s 127.0.0.1 -p 1 -t bob --silent 2 >/dev/full 2>&1", 2, ""],
    [
      "probe --support --output-file /dev/full",
      1,
      "*** Cannot write to /dev/full: No space left on device\n",
    ],
    ["probe --help | true", 0, ""],
    ["probe --help | head -n 1 >/dev/null", 0, ""],
  ])("%s ends with %i", (line, status, stderr) => {
    expect(shell(line)).toEqual([status, stderr]);
  });
});
