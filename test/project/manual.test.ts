import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { Option } from "../../src/cli/options.ts";
import { line as check } from "../../src/commands/check/options.ts";
import { type CheckRow, checks } from "../../src/commands/check/rows.ts";
import { line as init } from "../../src/commands/init/options.ts";
import { serve } from "../../src/commands/serve.ts";
import { isSetting, isTables, type SettingRows } from "../../src/config/schema.ts";
import { settings } from "../../src/config/settings.ts";
import { exitStatus } from "../../src/failure.ts";
import { commands } from "../../src/main.ts";
import { events } from "../../src/server/log/events.ts";
import { fieldKinds } from "../../src/server/log/fields.ts";
import {
  commitMetrics,
  domainLogins,
  domainMetrics,
  eventCounter,
  gauges,
  logMetrics,
  storeMetrics,
} from "../../src/server/log/metrics.ts";
import { part } from "../tools/manual.ts";

const page = (name: string): string => readFileSync(new URL(`../../man/${name}`, import.meta.url), "utf8");

/** The items of all lists in a text, by name: `.It Ic name Pq kind` and what stands below it. */
function items(text: string, macro: string): ReadonlyMap<string, string> {
  const found = text.matchAll(new RegExp(`^\\.It ${macro}(\\S+)(.*\\n(?:(?!\\.It |\\.El).*\\n)*)`, "gm"));
  return new Map([...found].map(([, name = "", rest = ""]) => [name, rest]));
}

describe("tpa-submit.toml(5)", () => {
  const text = part(page("tpa-submit.toml.5"), "Sh", "SETTINGS");
  const rows = settings as SettingRows;
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
    const written = [...items(part(text, "Ss", title), "Ic ")].map(([name, rest]) => {
      const standard = /Default:\n\.Ql (.*)/.exec(rest)?.[1];
      return [name, standard === undefined ? undefined : JSON.parse(standard.replaceAll("\\(dq", '"'))];
    });
    const declared = Object.entries(table).flatMap(([name, row]) =>
      isSetting(row) ? [[name, row.default]] : [],
    );
    expect(written).toEqual(declared);
  });

  test.each(tables)("%s: tells the kind of each value", (title) => {
    for (const [, rest] of items(part(text, "Ss", title), "Ic ")) {
      expect(rest).toMatch(
        /^ Pq (text|name|path|address|list of addresses|list of networks|list of texts|duration|size|number|flag)\n/,
      );
    }
  });
});

describe("tpa-submit(1)", () => {
  const text = page("tpa-submit.1");

  test("has every command and no other", () => {
    expect([...items(part(text, "Sh", "DESCRIPTION"), "Cm ").keys()]).toEqual(Object.keys(commands));
  });

  test("has every exit status and no other", () => {
    const written = [...items(part(text, "Sh", "EXIT STATUS"), "").keys()].map(Number);
    expect(written).toEqual(Object.values(exitStatus));
  });
});

describe("tpa-submit-serve(8)", () => {
  const text = page("tpa-submit-serve.8");

  /** `.It Ic name Pq one , two`: the name and what stands in the parentheses. */
  const lists = (title: string): readonly (readonly string[])[] =>
    [...items(part(text, "Sh", title), "Ic ")].map(([name, rest]) => [
      name,
      ...(/^ Pq (.*)\n/.exec(rest)?.[1] ?? "").split(" , "),
    ]);

  test("has every event of the log and no other, each with its level and daemon", () => {
    const declared = Object.entries(events).map(([name, { level, daemon }]) => [name, level, daemon]);
    expect(lists("LOG EVENTS")).toEqual(declared);
  });

  test("names every field of each event and no other", () => {
    const written = [...items(part(text, "Sh", "LOG EVENTS"), "Ic ")].map(([name, rest]) => [
      name,
      /\nFields: (.*)\.\n$/.exec(rest)?.[1]?.split(", ") ??
        (rest.endsWith("\nNo fields.\n") ? [] : undefined),
    ]);
    const declared = Object.entries(fieldKinds).map(([name, kinds]) => [name, Object.keys(kinds)]);
    expect(written).toEqual(declared);
  });

  test("has every metric and no other, each with its type and labels", () => {
    const rows = [
      ...logMetrics,
      eventCounter,
      ...Object.values(gauges),
      ...domainMetrics,
      domainLogins,
      ...Object.values(storeMetrics),
      ...Object.values(commitMetrics),
    ];
    expect(lists("METRICS")).toEqual(rows.map(({ name, type, labels }) => [name, type, ...labels]));
  });
});

describe("tpa-submit-check(8)", () => {
  test("has every check and no other, each with its exit status and what is said of it", () => {
    const written = [...items(part(page("tpa-submit-check.8"), "Sh", "CHECKS"), "Ic ")].map(
      ([name, rest]) => [name, rest.trim().replaceAll("\\(dq", '"').replaceAll("\n", " ")],
    );
    const declared = Object.entries<CheckRow>(checks).map(([name, { about, mend, status, network }]) => [
      name,
      `Pq ${status}${network ? " , network" : ""} ${about} ${mend}`,
    ]);
    expect(written).toEqual(declared);
  });
});

describe("the options of each command", () => {
  const pages: readonly (readonly [string, Readonly<Record<string, Option<unknown>>>])[] = [
    ["tpa-submit-serve.8", serve.options],
    ["tpa-submit-check.8", check.options],
    ["tpa-submit-init.8", init.options],
  ];

  test.each(pages)("%s has every option and no other", (name, options) => {
    const written = [...page(name).matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
      rest.split(" , ").map((flag) => `-${flag.split(" ")[0]}`),
    );
    const declared = Object.values(options).map(({ flags }) =>
      flags.split(", ").map((flag) => flag.split(" ")[0]),
    );
    expect(written).toEqual(declared);
  });
});
