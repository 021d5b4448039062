import { expect, test } from "vitest";
import { isQueueId, queueIds } from "../../../src/server/spool/queue-id.ts";

test("queue IDs count sixteenths of a millisecond, and never go back", () => {
  let now = 1_795_000_000_000;
  const next = queueIds(() => now);
  const first = next();
  expect(first).toBe((now * 16).toString(16).toUpperCase().padStart(12, "0"));
  now -= 1000;
  expect([next(), next()].map((id) => Number.parseInt(id, 16) - now * 16 - 16_000)).toEqual([1, 2]);
});

test("with a host's mark they end in it, keep their form and their order, and differ from those of other hosts", () => {
  let now = 1_795_000_000_000.7;
  const hosts = ["0", "A", "F"].map((mark) => queueIds(() => now, mark));
  const rounds = Array.from({ length: 50 }, (_, round) => {
    if (round % 10 === 0) now += 3;
    if (round === 25) now -= 1000;
    return hosts.map((next) => next());
  });
  const all = rounds.flat();
  expect(all.every(isQueueId)).toBe(true);
  expect(new Set(all).size).toBe(150);
  for (const [host, mark] of ["0", "A", "F"].entries()) {
    const own = rounds.map((ids) => ids[host] ?? "");
    expect(own.every((id) => id.endsWith(mark))).toBe(true);
    expect(own).toEqual([...own].sort());
  }
});
