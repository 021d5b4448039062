/**
 * PostgreSQL crashes under load, with its promises on the disk: all that was promised and not done with is there afterwards, and
 * nothing else.
 */
import { setTimeout as sleep } from "node:timers/promises";
import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Cluster, startCluster } from "../../../postgres/cluster.ts";
import { real } from "../../../tools/real.ts";
import { openShared } from "../stores.ts";
import { toOne } from "../to-one.ts";

/** Sessions and deliveries at a time. */
const submitters = 12;
const deliverers = 4;

describe.skipIf(!real("postgresql"))("a database that crashes", () => {
  let cluster: Cluster;
  beforeAll(async () => {
    cluster = await startCluster({ fsync: true });
  }, 120_000);
  afterAll(async () => cluster?.close(), 60_000);

  test("loses nothing that was promised, and has nothing that was not", async () => {
    const url = await cluster.database();
    const store = await openShared({ url, lease: 600_000 });
    const promised = new Map<string, string>();
    const done = new Set<string>();
    let isOver = false;

    async function submitAll(number: number): Promise<void> {
      for (let count = 0; !isOver; count++) {
        const text = `${String(number)}/${String(count)} `.repeat(count % 7 === 0 ? 200_000 : 50);
        try {
          const draft = await store.spool.draft();
          try {
            await draft.write(Buffer.from(text));
            await draft.accept(toOne);
            promised.set(draft.id, text);
          } finally {
            await draft.discard().catch(() => undefined);
          }
        } catch (error) {
          // Rare, since all wait for the database. What was refused must not be there at the end.
          expect(error).toMatchObject({ code: "ESTOREAWAY" });
          await sleep(20);
        }
      }
    }

    async function deliverAll(): Promise<void> {
      while (!isOver) {
        const id = [...promised.keys()].find((one) => !done.has(one));
        if (id === undefined) await sleep(5);
        else {
          done.add(id);
          expect(await store.spool.remove(id)).toBe("kept");
        }
      }
    }

    const work = [
      ...Array.from({ length: submitters }, (_, number) => submitAll(number)),
      ...Array.from({ length: deliverers }, () => deliverAll()),
    ];
    const [moments = []] = fc.sample(
      fc.array(fc.integer({ min: 50, max: 1_500 }), { minLength: 6, maxLength: 6 }),
      1,
    );
    for (const moment of moments) {
      await sleep(moment);
      await cluster.stop("immediate");
      await cluster.start();
      expect(await store.database.there(60_000)).toBe(true);
    }
    await sleep(500);
    isOver = true;
    await Promise.all(work);
    const expected = [...promised.keys()].filter((id) => !done.has(id)).sort();
    await vi.waitFor(
      async () => {
        await store.spool.sweep();
        expect(await store.spool.ids(), `crashes after ${moments.join(", ")} ms`).toEqual(expected);
        const octets = expected.reduce((sum, id) => sum + Buffer.byteLength(promised.get(id) ?? ""), 0);
        const [row] = await store.database.query<{ octets: number }>(
          "SELECT coalesce(sum(length(octets)), 0)::bigint AS octets FROM bodies",
        );
        expect(row?.octets).toBe(octets);
      },
      { timeout: 60_000, interval: 200 },
    );
    for (const id of expected.slice(0, 50)) expect(await store.spool.read(id)).toMatchObject({ id });
    expect(promised.size).toBeGreaterThan(0);
    await store.close();
  }, 300_000);
});
