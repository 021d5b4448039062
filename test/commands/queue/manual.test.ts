import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { actionCommands } from "../../../src/commands/queue/change.ts";
import { line as exporting } from "../../../src/commands/queue/export.ts";
import { freezeLine, thawLine } from "../../../src/commands/queue/freeze.ts";
import { line as listing } from "../../../src/commands/queue/list.ts";
import { line as showing } from "../../../src/commands/queue/show.ts";
import { line as summing } from "../../../src/commands/queue/summary.ts";
import { line as verifying } from "../../../src/commands/queue/verify.ts";
import { subcommands } from "../../../src/commands/queue.ts";

const page = readFileSync(new URL("../../../man/tpa-submit-queue.8", import.meta.url), "utf8");
const all = [
  listing,
  showing,
  summing,
  ...Object.values(actionCommands),
  exporting,
  freezeLine,
  thawLine,
  verifying,
];

test("tpa-submit-queue(8) has every word and no other", () => {
  const written = [...page.matchAll(/^\.It Cm (\S+)$/gm)].map(([, word]) => word);
  expect(written).toEqual(Object.keys(subcommands));
  expect(all.map(({ name }) => name.replace("queue ", "")).sort()).toEqual(Object.keys(subcommands).sort());
});

test("tpa-submit-queue(8) has every option of every word and no other", () => {
  const written = [...page.matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
    rest
      .split(" , ")
      .map((flag) => `-${flag.split(" ")[0] ?? ""}`)
      .join(", "),
  );
  const declared = all.flatMap(({ options }) =>
    Object.values(options).map(({ flags }) =>
      flags
        .split(", ")
        .map((flag) => flag.split(" ")[0])
        .join(", "),
    ),
  );
  expect([...new Set(written)].sort()).toEqual([...new Set([...declared, "-h, --help"])].sort());
  expect(new Set(written).size).toBe(written.length);
});
