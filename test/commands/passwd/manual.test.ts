import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { line } from "../../../src/commands/passwd/options.ts";
import { schemes } from "../../../src/passwd/schemes.ts";

const page = (name: string): string => readFileSync(new URL(`../../../man/${name}`, import.meta.url), "utf8");

/** `-p, --plaintext <password>` as mdoc has it: `Fl p , -plaintext Ar password`. */
function mdoc(flags: string): string {
  return flags
    .replace(/^-(\w), -/, "Fl $1 , ")
    .replace(/^-(?=-)/, "Fl ")
    .replace(/<(.*)>$/, "Ar $1")
    .replace(/\[(.*)\]$/, (_, words: string) => `Op Ar ${words.replaceAll("|", " | ")}`);
}

describe("tpa-submit-passwd(1)", () => {
  test("has every option in the order of the help, and no other", () => {
    const written = [...page("tpa-submit-passwd.1").matchAll(/^\.It (Fl .*)$/gm)].map(([, item]) => item);
    expect(written).toEqual(Object.values(line.options).map(({ flags }) => mdoc(flags)));
  });
});

describe("tpa-submit-passwd(5)", () => {
  test("has every scheme with its limits and its fitness, and no other", () => {
    const written = [...page("tpa-submit-passwd.5").matchAll(/^\.It ([A-Z0-9-]+) Ta (.*?) Ta (\w+) Ta \w/gm)];
    expect(written.map(([, name, cost, fit]) => [name, cost, fit])).toEqual(
      schemes.map(({ name, rounds, weakness }) => [
        name,
        rounds ? `${rounds.least} to ${rounds.most}, ${rounds.standard}` : "none",
        weakness === "" ? "yes" : "no",
      ]),
    );
  });
});
