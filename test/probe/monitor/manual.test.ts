/** tpa-submit-probe-monitor(1), tpa-submit-probes(5) and the example, held against the tables that the program goes by. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { counted, gauges } from "../../../src/commands/probe/monitor/metrics.ts";
import { line } from "../../../src/commands/probe/monitor.ts";
import { parseProbes, probeSettings } from "../../../src/config/probes-file.ts";
import { isSetting, isTables, type SettingRows } from "../../../src/config/schema.ts";
import { outcomes } from "../../../src/probe/result.ts";
import { part } from "../../tools/manual.ts";

const file = (name: string): string => readFileSync(new URL(`../../../${name}`, import.meta.url), "utf8");

/** `.It Ic NAME Pq WORDS` and what stands below, for all of a text. */
const items = (text: string): readonly (readonly [name: string, words: string, rest: string])[] =>
  [...text.matchAll(/^\.It Ic (\S+) Pq (.*)\n((?:(?!\.It |\.El).*\n)*)/gm)].map(
    ([, name = "", words = "", rest = ""]) => [name, words, rest],
  );

describe("tpa-submit-probes(5)", () => {
  const text = part(file("man/tpa-submit-probes.5"), "Sh", "SETTINGS");
  const rows = probeSettings as SettingRows;
  const tables: readonly (readonly [string, SettingRows])[] = [
    ["Above the first table", rows],
    ...Object.entries(rows).flatMap(([name, row]) => {
      if (isSetting(row)) return [];
      return [isTables(row) ? ([`[[${name}]]`, row.each] as const) : ([`[${name}]`, row] as const)];
    }),
  ];

  test("has every table and no other", () => {
    const written = [...text.matchAll(/^\.Ss (.*)$/gm)].map(([, title]) => title);
    expect(written).toEqual(tables.map(([title]) => title));
  });

  test.each(tables)("%s: has every setting and no other, each with its default", (title, table) => {
    const written = items(part(text, "Ss", title)).map(([name, , rest]) => {
      const standard = /Default:\n\.Ql (.*)/.exec(rest)?.[1];
      return [name, standard === undefined ? undefined : JSON.parse(standard.replaceAll("\\(dq", '"'))];
    });
    const declared = Object.entries(table).flatMap(([name, row]) =>
      isSetting(row) ? [[name, row.default]] : [],
    );
    expect(written).toEqual(declared);
  });

  test.each(tables)("%s: tells the kind of each value", (title) => {
    for (const [, kind] of items(part(text, "Ss", title)))
      expect(kind).toMatch(/^(text|list|name|path|number|duration|address|server|grade|place)$/);
  });

  test("has an example that is right", () => {
    const [, example = ""] = /^\.Bd .*\n([\s\S]*?)^\.Ed/m.exec(file("man/tpa-submit-probes.5")) ?? [];
    expect(parseProbes(example, "example")).toHaveProperty("config.route.0.name", "example-net");
  });
});

describe("etc/probes.example.toml", () => {
  const example = file("etc/probes.example.toml");

  test("can be used as it is", () => {
    const reading = parseProbes(example, "probes.example.toml");
    expect("mistakes" in reading ? reading.mistakes : []).toEqual([]);
    expect(reading).toMatchObject({ config: { route: [{ name: "example-net" }, { name: "own-domain" }] } });
  });

  test("and with all that is commented out", () => {
    const whole = example.replace(/^# (?=[[\w-]+( =|\]))/gm, "");
    const reading = parseProbes(whole, "probes.example.toml");
    expect("mistakes" in reading ? reading.mistakes : []).toEqual([]);
    expect(whole).not.toMatch(/^# \w+ =/m);
  });
});

describe("tpa-submit-probe-monitor(1)", () => {
  const page = file("man/tpa-submit-probe-monitor.1");

  test("has every option and no other", () => {
    const written = [...page.matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
      rest.split(" , ").map((flag) => `-${flag.split(" ")[0]}`),
    );
    const declared = Object.values(line.options).map(({ flags }) =>
      flags.split(", ").map((flag) => flag.split(" ")[0]),
    );
    expect(written).toEqual(declared);
  });

  test("has every outcome and no other, with its grade and what it means", () => {
    const grades = ["ok", "warning", "critical", "unknown"];
    const declared = Object.entries(outcomes).map(([name, { grade, means }]) => [
      name,
      grades[grade],
      `${means}\n`,
    ]);
    expect(items(part(page, "Sh", "OUTCOMES"))).toEqual(declared);
  });

  test("has every metric and no other, with its type, its labels and its help", () => {
    const declared = [...Object.values(gauges), ...Object.values(counted)].map((metric) => [
      metric.name,
      [metric.type, ...metric.labels].join(" , "),
      `${metric.help}\n`,
    ]);
    expect(items(part(page, "Sh", "METRICS"))).toEqual(declared);
  });
});
