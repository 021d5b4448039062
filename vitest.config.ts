import { defineConfig } from "vitest/config";

// .ci/run counts from this file.
const report = process.env["TPA_SUBMIT_TEST_REPORT"];

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores are what the smallest supported machine has; tests that start servers share them.
    maxWorkers: 2,
    reporters: report === undefined ? ["default"] : ["default", ["json", { outputFile: report }]],
  },
});
