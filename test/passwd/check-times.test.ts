/** How long the dearest check takes that a password file can cause. */
import { expect, test } from "vitest";
import { newCheckTimes } from "../../src/passwd/check-times.ts";
import { loginsOf } from "../tools/logins.ts";

const cost10 = `$2y$10$${"a".repeat(53)}`;
const cost12 = `$2y$12$${"a".repeat(53)}`;
const other12 = `$2y$12$${"b".repeat(53)}`;

const fileOf = (...lines: readonly string[]) => loginsOf(lines.join("\n"));

/** Costs by a table, and which stored passwords were measured. */
function newTable(times: Readonly<Record<string, number>>) {
  const asked: string[] = [];
  const costs = newCheckTimes(async (stored) => {
    asked.push(...stored);
    return stored.map((one) => times[one] ?? 0);
  });
  return { asked, costs };
}

test("is that of the dearest login, with all its lines, and room", async () => {
  const { costs } = newTable({ [cost10]: 60, [cost12]: 240, "{PLAIN}x": 1 });
  expect(await costs.slowest(fileOf(`a:${cost10}`, "b:{PLAIN}x"))).toBe(1.25 * 60);
  expect(await costs.slowest(fileOf(`a:${cost10}`, `a:${cost10}`, `c:${cost10}`))).toBe(1.25 * 120);
  expect(await costs.slowest(fileOf(`a:${cost10}`, `b:${cost12}`, "b:{PLAIN}x"))).toBe(1.25 * 241);
});

test("is measured once for each kind of hash, whatever the file", async () => {
  const { asked, costs } = newTable({ [cost10]: 60, [cost12]: 240 });
  const logins = fileOf(`a:${cost10}`, `b:${cost10.replaceAll("a", "c")}`, `c:${cost12}`);
  const [one, other] = await Promise.all([costs.slowest(logins), costs.slowest(logins)]);
  expect([one, other]).toEqual([300, 300]);
  expect(await costs.slowest(fileOf(`d:${other12}`, "e:!locked"))).toBe(300);
  expect(asked).toHaveLength(2);
});
