import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { exitStatuses } from "../../src/probe/exit-status.ts";

test("the manual lists the exit statuses, each with its meaning", () => {
  const page = readFileSync(new URL("../../man/tpa-submit-probe.1", import.meta.url), "utf8");
  const [, list = ""] = /^\.Sh EXIT STATUS\n(.*?)^\.El$/ms.exec(page) ?? [];
  const told = [...list.matchAll(/^\.It (\d+)\n(.*)$/gm)].map(([, status, meaning]) => [
    Number(status),
    meaning,
  ]);
  expect(told).toEqual(Object.values(exitStatuses).map((row) => [...row]));
});
