import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { copyCommand } from "../../../src/commands/spool/copy.ts";
import { downgradeCommand } from "../../../src/commands/spool/downgrade.ts";
import { migrateCommand } from "../../../src/commands/spool/migrate.ts";
import { subcommands } from "../../../src/commands/spool.ts";

const page = readFileSync(new URL("../../../man/tpa-submit-spool.8", import.meta.url), "utf8");

test("tpa-submit-spool(8) has every subcommand and no other", () => {
  const [, description = ""] = page.split(".Sh DESCRIPTION");
  const [list = ""] = description.split(".Pp\nThe options are:");
  expect([...list.matchAll(/^\.It Cm (\S+)$/gm)].map(([, name]) => name)).toEqual(Object.keys(subcommands));
  expect([downgradeCommand, migrateCommand, copyCommand].map(({ name }) => name)).toEqual(
    Object.keys(subcommands).map((name) => `spool ${name}`),
  );
});

test("tpa-submit-spool(8) has every option and no other", () => {
  const written = [...page.matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
    rest.split(" , ").map((flag) => `-${flag.split(" ")[0] ?? ""}`),
  );
  const rows = [downgradeCommand, migrateCommand, copyCommand].flatMap(({ options }) =>
    Object.values(options),
  );
  const declared = new Set(rows.map(({ flags }) => flags));
  const names = [...declared].map((flags) => flags.split(", ").map((flag) => flag.split(" ")[0]));
  expect(new Set(written.map(String))).toEqual(new Set([...names, ["-h", "--help"]].map(String)));
  expect(written).toHaveLength(declared.size + 1);
});
