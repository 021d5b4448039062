/** Each word of the probe has a manual page of its own: its options, defaults and metrics are those of the program. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Option } from "../../src/cli/options.ts";
import { line as checkup } from "../../src/commands/probe/checkup/options.ts";
import { metrics } from "../../src/commands/probe/propagation/change.ts";
import { line as propagation } from "../../src/commands/probe/propagation/options.ts";
import { line as report } from "../../src/commands/probe/report.ts";
import { line as reports } from "../../src/commands/probe/reports/options.ts";
import { subcommands } from "../../src/commands/probe.ts";
import { part } from "../tools/manual.ts";

interface Line {
  readonly options: Readonly<Record<string, Option<unknown>>>;
  readonly arguments: Readonly<Record<string, { readonly syntax: string }>>;
}

/** The monitor's is looked at in monitor/manual.test.ts. */
const lines: Readonly<Record<string, Line>> = { checkup, propagation, report, reports };

const pageOf = (word: string): string =>
  readFileSync(new URL(`../../man/tpa-submit-probe-${word}.1`, import.meta.url), "utf8");

test("every word is looked at, and named in tpa-submit-probe(1)", () => {
  expect([...Object.keys(lines), "monitor"].sort()).toEqual(Object.keys(subcommands).sort());
  const page = readFileSync(new URL("../../man/tpa-submit-probe.1", import.meta.url), "utf8");
  expect([...page.matchAll(/^\.It Cm (\S+)$/gm)].map(([, word]) => word)).toEqual(Object.keys(subcommands));
});

describe.each(Object.entries(lines))("tpa-submit-probe-%s(1)", (word, line) => {
  const rows = Object.values(line.options);

  test("has every option and no other, in the order of --help, with its argument", () => {
    const written = [...part(pageOf(word), "Sh", "DESCRIPTION").matchAll(/^\.It Fl (.*)$/gm)].map(
      ([, item = ""]) =>
        item
          .split(" , ")
          .map((flag) => `-${flag.replace("Fl ", "").replace(/ Ar \S+/, " <>")}`)
          .join(", "),
    );
    expect(written).toEqual(rows.map(({ flags }) => flags.replace(/<[^>]*>/, "<>")));
  });

  test("has every option in its SYNOPSIS, by its short name where it has one", () => {
    const synopsis = part(pageOf(word), "Sh", "SYNOPSIS");
    const written = [...synopsis.matchAll(/(?:\bFl|\|) (-?[a-z][a-z-]*)/g)].map(
      ([, flag = ""]) => `-${flag}`,
    );
    const declared = rows.map(({ flags }) => flags.split(/, | /)[0] ?? "");
    expect(written.sort()).toEqual(declared.sort());
    for (const { syntax } of Object.values(line.arguments))
      expect(synopsis).toMatch(new RegExp(`Ar ${syntax.replace(/[<>[\].]/g, "")}(?: \\.\\.\\.)?$`, "m"));
  });

  test("tells every default", () => {
    const items = part(pageOf(word), "Sh", "DESCRIPTION").split(/^\.It /m);
    for (const { flags, standard } of rows) {
      if (standard === undefined || standard === "") continue;
      const [name = ""] = /--[a-z-]+/.exec(flags) ?? [];
      const item = items.find((text) => text.split("\n")[0]?.includes(` ${name.slice(1)}`)) ?? "";
      expect([name, item.includes(standard)]).toEqual([name, true]);
    }
  });
});

test("tpa-submit-probe-propagation(1) has every metric and no other, each with its labels", () => {
  const written = [
    ...part(pageOf("propagation"), "Sh", "METRICS").matchAll(/^\.It Ic (\S+)(?: Pq (.*))?$/gm),
  ].map(([, name, labels = ""]) => [name, labels.split(" , ").filter((label) => label !== "")]);
  expect(written).toEqual(Object.values(metrics).map(({ name, labels }) => [name, [...labels]]));
});
