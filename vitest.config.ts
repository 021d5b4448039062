import { defineConfig } from "vitest/config";
import { testFiles } from "./test/tools/unit-files.ts";

// .ci/run counts from this file.
const report = process.env["TPA_SUBMIT_TEST_REPORT"];
const { unit, whole } = testFiles();

export default defineConfig({
  test: {
    // Two cores are what the smallest supported machine has; tests that start servers share them.
    maxWorkers: 2,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: [...unit],
          setupFiles: ["test/tools/no-outside.ts"],
          testTimeout: 120_000,
        },
      },
      {
        extends: true,
        test: { name: "whole", include: [...whole], testTimeout: 120_000, hookTimeout: 120_000 },
      },
    ],
  },
});
