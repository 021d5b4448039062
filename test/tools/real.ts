/**
 * Tests against the real thing: Debian's swaks, fail2ban, Postfix and others, where they are installed.
 * `apt-get install` of all of them is what .ci/run does.
 */
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { test } from "vitest";

/**
 * Whether all `programs` are installed. Call it while tests are being declared:
 *
 *     describe.skipIf(!real("swaks", "postconf"))("with the real swaks", () => { … });
 *
 * A missing one is said aloud, and the tests are skipped; where the environment has TPA_SUBMIT_INTEROP=required
 * it is a failed test instead, so that a gate cannot be passed by installing nothing.
 */
export function real(...programs: readonly string[]): boolean {
  const missing = programs.filter((program) => pathOf(program) === undefined);
  if (missing.length === 0) return true;
  const complaint = `not installed: ${missing.join(", ")}`;
  if (process.env["TPA_SUBMIT_INTEROP"] === "required") {
    test(`needs ${programs.join(", ")}`, () => {
      throw new Error(complaint);
    });
  } else {
    process.stderr.write(`\n*** SKIPPED, ${complaint} (tests with ${programs.join(", ")}) ***\n`);
  }
  return false;
}

/** Where `program` is installed; /usr/sbin and /sbin are searched as well, which a plain user's PATH lacks. */
export function pathOf(program: string): string | undefined {
  const folders = [...(process.env["PATH"] ?? "").split(delimiter), "/usr/sbin", "/sbin"];
  return folders
    .filter((folder) => folder !== "")
    .map((folder) => join(folder, program))
    .find(isProgram);
}

function isProgram(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // not there, or not ours to run: looked for elsewhere
  }
}
