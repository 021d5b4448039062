/** The program that the demonstration, tests and benchmarks start. */
import { fileURLToPath } from "node:url";

/** The one of this folder, of a file for each of its sources. */
export const checkoutProgram = fileURLToPath(new URL("../bin/tpa-submit", import.meta.url));

/** vitest.config.ts may name another one: the bundle, which starts in half the time. */
export const program = process.env["TPA_SUBMIT_TEST_PROGRAM"] ?? checkoutProgram;
