/** tpa-submit-probe-reports(1), held against the tables that the program goes by. */
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { reportMetrics } from "../../../src/commands/probe/reports/metrics.ts";
import { line } from "../../../src/commands/probe/reports/options.ts";
import { part } from "../../tools/manual.ts";

const page = readFileSync(new URL("../../../man/tpa-submit-probe-reports.1", import.meta.url), "utf8");

test("has every option and no other", () => {
  const written = [...page.matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
    rest.split(" , ").map((flag) => `-${flag.split(" ")[0]}`),
  );
  const declared = Object.values(line.options).map(({ flags }) =>
    flags.split(", ").map((flag) => flag.split(" ")[0]),
  );
  expect(written).toEqual(declared);
});

test("has every metric and no other, with its type, its labels and its help", () => {
  const rows = [...part(page, "Sh", "METRICS").matchAll(/^\.It Ic (\S+) Pq (.*)\n(.*)\n/gm)];
  expect(rows.map(([, ...words]) => words)).toEqual(
    Object.values(reportMetrics).map(({ name, type, labels, help }) => [
      name,
      [type, ...labels].join(" , "),
      help,
    ]),
  );
});
