/** A whole directory: test/ldap/many.test.ts with 50 000 accounts in Debian's slapd, over ldaps. */
import { join } from "node:path";
import { runWell } from "../../test/tools/child.mjs";
import { here } from "../sides.mjs";

/** @type {import("../bench.mjs").Case} */
export const directoryCase = {
  name: "directory",
  title: "sync of 50 000 accounts",
  asked: true,
  async run({ quick }) {
    const entries = quick ? 500 : 50_000;
    const vitest = join(here, "node_modules/vitest/vitest.mjs");
    const words = ["--silent=false", "--root", here, "test/ldap/many.test.ts"];
    const said = await runWell(process.execPath, [vitest, "run", ...words], "", {
      TPA_SUBMIT_ENTRIES: String(entries),
    });
    const runs = [...said.matchAll(/(first|second): ([\d.]+) s, ([\d.]+) s of processor, (\d+) MB/g)];
    if (runs.length !== 2) throw new Error("the test was skipped: it wants slapd and ldap-utils");
    return runs.flatMap(([, name = "", seconds, processor, megabytes]) => {
      const text = name === "first" ? "sync, all are new" : "sync, nothing to do";
      return [
        { id: `directory-${name}.time`, text, unit: "s", digits: 1, values: { ours: [Number(seconds)] } },
        {
          id: `directory-${name}.cpu`,
          text: `${text}: processor`,
          unit: "s",
          digits: 1,
          values: { ours: [Number(processor)] },
        },
        {
          id: `directory-${name}.memory`,
          text: `${text}: memory at its height`,
          unit: "MB",
          values: { ours: [Number(megabytes)] },
        },
      ];
    });
  },
};
