import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { actionCommands } from "../../../src/commands/queue/change.ts";
import { drainCommand } from "../../../src/commands/queue/drain.ts";
import { exportCommand } from "../../../src/commands/queue/export.ts";
import { freezeCommand, thawCommand } from "../../../src/commands/queue/freeze.ts";
import { importCommand } from "../../../src/commands/queue/import.ts";
import { listCommand } from "../../../src/commands/queue/list.ts";
import { showCommand } from "../../../src/commands/queue/show.ts";
import { summaryCommand } from "../../../src/commands/queue/summary.ts";
import { verifyCommand } from "../../../src/commands/queue/verify.ts";
import { subcommands } from "../../../src/commands/queue.ts";

const page = readFileSync(new URL("../../../man/tpa-submit-queue.8", import.meta.url), "utf8");
const all = [
  listCommand,
  showCommand,
  summaryCommand,
  ...Object.values(actionCommands),
  exportCommand,
  importCommand,
  drainCommand,
  freezeCommand,
  thawCommand,
  verifyCommand,
];

test("tpa-submit-queue(8) has every subcommand and no other", () => {
  const written = [...page.matchAll(/^\.It Cm (\S+)$/gm)].map(([, name]) => name);
  expect(written).toEqual(Object.keys(subcommands));
  expect(all.map(({ name }) => name.replace("queue ", "")).sort()).toEqual(Object.keys(subcommands).sort());
});

test("tpa-submit-queue(8) has every option of every subcommand and no other", () => {
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
