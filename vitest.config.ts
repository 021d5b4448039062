import { defineConfig } from "vitest/config";

export default defineConfig({
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores are what the smallest supported machine has; tests that start servers share them.
    maxWorkers: 2,
  },
});
