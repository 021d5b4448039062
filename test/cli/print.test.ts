/** Standard output that cannot be written: one line, no stack; and a reader who has gone, which is no mistake. */
import { describe, expect, test } from "vitest";
import { program } from "../../demo/relay.mjs";
import { hangingIn } from "../../src/cli/output.ts";
import { run } from "../tools/child.mjs";

const shell = (line: string) => run("sh", ["-c", line]);

describe("standard output", () => {
  test.each(["--help", "queue --help", "passwd --help", "passwd -l", "probe checkup --help"])(
    "of `tpa-submit %s` on a full disk is told of in one line",
    async (words) => {
      const { stderr, status } = await shell(`'${program}' ${words} >/dev/full`);
      expect(stderr).toBe(
        "tpa-submit: standard output cannot be written: ENOSPC: no space left on device, write\n",
      );
      expect(status).toBe(74);
    },
  );

  test("that nobody reads to its end is nobody's mistake", async () => {
    const { stdout, stderr } = await shell(`'${program}' serve --help | head -n 1`);
    expect(stdout).toMatch(/^Usage: tpa-submit serve/);
    expect(stderr).toBe("");
  });
});

describe("a line that is longer than the terminal", () => {
  test("goes on below its text, broken between words, and within one that is too long", () => {
    expect(hangingIn(30)("  name  ", `short words and ${"x".repeat(30)} end`)).toBe(
      ["  name  short words and", `        ${"x".repeat(22)}`, `        ${"x".repeat(8)} end`].join("\n"),
    );
  });

  test("is whole in a pipe", () => {
    expect(hangingIn(undefined)("  ", "x ".repeat(200))).toBe(`  ${"x ".repeat(200)}`);
  });
});
