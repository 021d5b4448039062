import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { downgradeCommand } from "../../../src/commands/spool/downgrade.ts";
import { subcommands } from "../../../src/commands/spool.ts";

const page = readFileSync(new URL("../../../man/tpa-submit-spool.8", import.meta.url), "utf8");

test("tpa-submit-spool(8) has every subcommand and no other", () => {
  const [, description = ""] = page.split(".Sh DESCRIPTION");
  const [list = ""] = description.split(".Pp\nThe options are:");
  expect([...list.matchAll(/^\.It Cm (\S+)$/gm)].map(([, name]) => name)).toEqual(Object.keys(subcommands));
  expect(downgradeCommand.name).toBe("spool downgrade");
});

test("tpa-submit-spool(8) has every option and no other", () => {
  const written = [...page.matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
    rest.split(" , ").map((flag) => `-${flag.split(" ")[0] ?? ""}`),
  );
  const declared = Object.values(downgradeCommand.options).map(({ flags }) =>
    flags.split(", ").map((flag) => flag.split(" ")[0]),
  );
  expect(written).toEqual([...declared, ["-h", "--help"]]);
});
