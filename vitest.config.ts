import { existsSync, statSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { defineConfig } from "vitest/config";
import { testFiles } from "./test/tools/unit-files.ts";

// .ci/run counts from this file.
const report = process.env["TPA_SUBMIT_TEST_REPORT"];
const { unit, whole } = testFiles();
/** Each network cable that comes or goes makes a browser give up what it is loading, so these are behind the others. */
const withCables = whole.filter((path) => path.startsWith("test/several-hosts/"));

const inFolder = (name: string): string => fileURLToPath(new URL(name, import.meta.url));
const changed = (name: string): number =>
  existsSync(inFolder(name)) ? statSync(inFolder(name)).mtimeMs : Number.NEGATIVE_INFINITY;

// Tests start the program thousands of times, and the bundle starts in half the time. It is used where it is the last
// that was built. What reads TPA_SUBMIT_TEST_PROGRAM is demo/program.mjs.
if (changed("bundle/dist/main.js") > changed("dist/main.js")) {
  process.env["TPA_SUBMIT_TEST_PROGRAM"] ??= inFolder("bundle/bin/tpa-submit");
}

// Reading a file of certificates takes longer than all else that a start of Node.js does, and no test asks for it.
process.env["NODE_EXTRA_CA_CERTS"] = "";

export default defineConfig({
  test: {
    // Two cores are what the smallest supported machine has. Tests that start servers wait more than half of their time,
    // for a delay that is part of what they look at, or for another program.
    maxWorkers: 4,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [...unit],
          setupFiles: ["test/tools/no-outside.ts"],
          isolate: false, // they change nothing outside of themselves; a process for each file costs as much as what is in it
          testTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: "whole",
          include: whole.filter((path) => !withCables.includes(path)),
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: {
          name: "cables",
          include: withCables,
          sequence: { groupOrder: 1 },
          testTimeout: 120_000,
          hookTimeout: 120_000,
        },
      },
    ],
  },
});
