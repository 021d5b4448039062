import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { metrics } from "../../../src/commands/sync/metrics.ts";
import { line } from "../../../src/commands/sync/options.ts";
import { otherReasons, rules } from "../../../src/ldap/account.ts";
import { lossGuards, searchGuards } from "../../../src/ldap/guard.ts";

const text = readFileSync(new URL("../../../man/tpa-submit-sync.8", import.meta.url), "utf8");

/** The items of the list below `.Sh TITLE`. */
function items(title: string): readonly string[] {
  const part = text.split(/^\.Sh /m).find((one) => one.startsWith(`${title}\n`)) ?? "";
  return [...part.matchAll(/^\.It (.*)$/gm)].map(([, item = ""]) => item);
}

describe("tpa-submit-sync(8)", () => {
  test("has every reason and no other, in the order in which they are looked for", () => {
    const names = [...rules.map(({ reason }) => reason), ...Object.keys(otherReasons)];
    expect(items("REASONS")).toEqual(names.map((name) => `Ic ${name}`));
  });

  test("has every guard and no other, each with the option that allows it", () => {
    const guards = [...searchGuards, ...lossGuards];
    expect(items("GUARDS")).toEqual(guards.map(({ name }) => `Ic ${name}`));
    const flags = [...text.matchAll(/^\.Pq Fl (-allow-\w+)$/gm)].map(([, flag]) => `-${flag}`);
    expect(flags).toEqual(guards.map(({ flag }) => flag));
  });

  test("has every metric and no other, each with its labels", () => {
    expect(items("METRICS")).toEqual(
      Object.values(metrics).map(({ name, labels }) =>
        ["Ic", name, ...labels.map((label) => `Pq ${label}`)].join(" "),
      ),
    );
  });

  test("has every option and no other", () => {
    const written = items("DESCRIPTION").map((item) =>
      item
        .replace(/^Fl /, "")
        .split(" , ")
        .map((flag) => `-${flag.split(" ")[0]}`),
    );
    const declared = Object.values(line.options).map(({ flags }) =>
      flags.split(", ").map((flag) => flag.split(" ")[0]),
    );
    expect(written).toEqual(declared);
  });
});
