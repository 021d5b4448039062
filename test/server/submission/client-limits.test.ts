/** man/tpa-submit-serve.8, LIMITS, tells every limit that is no setting. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import * as limits from "../../../src/server/submission/client-limits.ts";

const page = readFileSync(join(import.meta.dirname, "..", "..", "..", "man", "tpa-submit-serve.8"), "utf8");
const section = /^\.Sh LIMITS$((?:.|\n)+?)^\.Sh /m.exec(page)?.[1] ?? "";
const entries = new Map(
  section
    .split(/^\.It /m)
    .slice(1)
    .map((entry) => [entry.split("\n")[0] ?? "", entry] as const),
);

const { login, command, ...others } = limits.standardTimeouts;
const values = { login: login / 1_000, command: command / 1_000, ...others, ...numbers(limits) };

function numbers(exported: object): Record<string, number> {
  return Object.fromEntries(Object.entries(exported).filter(([, value]) => typeof value === "number"));
}

test.each(Object.entries(values))("%s is told to be %i", (name, value) => {
  expect(entries.get(name)).toMatch(new RegExp(`\\b${value}\\b`));
});

test("tells of no other limit", () => {
  expect([...entries.keys()].sort()).toEqual(Object.keys(values).sort());
});
