/**
 * What a power cut is to files, a cut wire is to the database: each step of a spool is done with the wire cut before each of
 * its messages, and then it is looked at what is true. What was promised is there, and what was not promised is not; what came
 * of a delivery is recorded once the wire is whole again.
 */
import { createHash } from "node:crypto";
import { afterAll, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Envelope } from "../../../../src/server/spool/envelope.ts";
import { type Cluster, startCluster } from "../../../postgres/cluster.ts";
import { openWire, type Wire } from "../../../postgres/wire.ts";
import { real } from "../../../tools/real.ts";
import { openShared, type SharedStore } from "../stores.ts";
import { toOne } from "../to-one.ts";

const patience = { timeout: 60_000, interval: 20 };

describe.skipIf(!real("postgresql"))("with the wire cut before each message,", () => {
  let cluster: Cluster;
  let url: string;
  beforeAll(async () => {
    cluster = await startCluster();
  }, 120_000);
  beforeEach(async () => {
    url = await cluster.database();
  });
  afterAll(async () => cluster?.close(), 60_000);

  const sql = (text: string): Promise<string> => cluster.sql(text, /(test_\d+)\?/.exec(url)?.[1]);
  const count = async (table: string): Promise<number> => Number(await sql(`SELECT count(*) FROM ${table}`));

  async function accept({ spool }: SharedStore, size = 1): Promise<Envelope> {
    const draft = await spool.draft();
    try {
      for (const chunk of chunksOf(size)) await draft.write(chunk);
      return await draft.accept(toOne);
    } catch (error) {
      await draft.discard().catch(() => undefined); // as a session does
      throw error;
    }
  }

  /** No two of its lines are alike. */
  const octetsOf = (size: number): Buffer => {
    const lines = Array.from({ length: Math.ceil(size / 8) }, (_, at) => at.toString(36).padStart(7, "0"));
    return Buffer.from(`${lines.join("\n")}\n`).subarray(0, size);
  };
  const chunkSize = 64 * 1024;
  const chunksOf = (size: number): readonly Buffer[] => {
    const octets = octetsOf(size);
    return Array.from({ length: Math.ceil(size / chunkSize) }, (_, at) =>
      octets.subarray(at * chunkSize, (at + 1) * chunkSize),
    );
  };

  /**
   * Does `step` on a host behind the wire, with it whole and then cut before each message, and heals it; `look` says what
   * must be true. Where it is not `isOften`, before the first message of each question and each answer.
   */
  async function eachCut<Prepared, Done>(
    prepare: (store: SharedStore) => Promise<Prepared>,
    step: (store: SharedStore, prepared: Prepared) => Promise<Done>,
    look: (outcome: PromiseSettledResult<Done>, prepared: Prepared, store: SharedStore) => Promise<void>,
    isOften = true,
  ): Promise<readonly string[]> {
    const wire: Wire = await openWire(cluster.folder, cluster.port);
    const store = await openShared({ url: wire.through(url), lease: 600_000 });
    let whole: readonly string[] = [];
    try {
      for (const rehearsal of [1, 2]) {
        // The second time all statements are known to the server.
        const prepared = await prepare(store);
        wire.arm();
        const [outcome] = await Promise.allSettled([step(store, prepared)]);
        whole = [...wire.seen];
        wire.heal();
        expect(outcome.status, `rehearsal ${String(rehearsal)}`).toBe("fulfilled");
        await look(outcome, prepared, store);
      }
      // Until all of it goes through: after a cut there is more to say, on a connection that knows no statements.
      for (let at = 0, isThrough = false; !isThrough; at++) {
        if (!isOften && at < whole.length && whole[at]?.[0] === whole[at - 1]?.[0]) continue;
        expect(await store.database.there(60_000)).toBe(true);
        const prepared = await prepare(store);
        await store.database.query("SELECT 1"); // it connects, where it must
        wire.arm(at);
        const settled = Promise.allSettled([step(store, prepared)]);
        await Promise.race([settled, vi.waitFor(() => expect(wire.isCut()).toBe(true), patience)]);
        isThrough = !wire.isCut();
        await new Promise((resolve) => setTimeout(resolve, 20));
        wire.heal();
        const [outcome] = await settled;
        expect(await store.database.there(60_000)).toBe(true);
        await look(outcome, prepared, store);
      }
    } finally {
      await store.close();
      await wire.close();
    }
    return whole;
  }

  test.each([1, 1_300_000])(
    "a message of %i octets is promised all the same, and its octets are what they were",
    async (size) => {
      const ids = new Set<string>();
      const digest = createHash("sha256").update(octetsOf(size)).digest("hex");
      const seen = await eachCut(
        async () => undefined,
        (store) => accept(store, size),
        async (outcome, _, store) => {
          expect(outcome.status === "fulfilled" ? "fulfilled" : outcome.reason).toBe("fulfilled");
          if (outcome.status === "fulfilled") ids.add(outcome.value.id);
          await vi.waitFor(async () => {
            await store.spool.sweep();
            expect(new Set((await sql("SELECT id FROM messages")).split("\n"))).toEqual(ids);
            expect(await sql("SELECT coalesce(sum(length(octets)), 0) FROM bodies")).toBe(
              String(ids.size * size),
            );
            expect(await count("drafts")).toBe(0);
          }, patience);
        },
        size < 2 ** 20,
      );
      expect(seen).toContain("< C");
      expect(ids.size).toBeGreaterThanOrEqual(2);
      const whole = "encode(sha256(string_agg(octets, ''::bytea ORDER BY piece)), 'hex')";
      expect(
        new Set((await sql(`SELECT ${whole} FROM bodies GROUP BY id`)).split("\n")),
        "digests of what is there",
      ).toEqual(new Set([digest]));
    },
    300_000,
  );

  test("a large message whose pieces a standby did not have is not promised", async () => {
    const store = await openShared({ url, lease: 600_000 });
    try {
      const draft = await store.spool.draft();
      for (const chunk of chunksOf(3_000_000)) await draft.write(chunk);
      await sql(`DELETE FROM bodies WHERE id = '${draft.id}' AND piece = 4`);
      await expect(draft.accept(toOne)).rejects.toMatchObject({ code: "ESTALE" });
      await vi.waitFor(async () => {
        await store.spool.sweep();
        expect([await count("messages"), await count("bodies"), await count("drafts")]).toEqual([0, 0, 0]);
      }, patience);
    } finally {
      await store.close();
    }
  });

  test("a large message with the ID of one that is there leaves that one alone", async () => {
    const clock = (): number => 1_790_000_000_000;
    const store = await openShared({ url, lease: 600_000, now: clock });
    try {
      const { id } = await accept(store, 1_000);
      const before = await sql("SELECT id, piece, octets FROM bodies");
      await store.reopen(clock);
      const draft = await store.spool.draft();
      expect(draft.id).toBe(id);
      await expect(draft.write(octetsOf(3_000_000))).rejects.toMatchObject({ code: "EEXIST" });
      await draft.discard();
      await store.spool.sweep();
      expect(await sql("SELECT id, piece, octets FROM bodies")).toBe(before);
    } finally {
      await store.close();
    }
  });

  test("what came of a delivery is recorded", async () => {
    await eachCut(
      (store) => accept(store),
      async ({ spool }, envelope) => spool.record({ ...envelope, attempts: 1 }),
      async (outcome, { id }, store) => {
        expect(outcome).toEqual({ status: "fulfilled", value: "kept" });
        expect(await store.spool.read(id)).toMatchObject({ attempts: 1 });
      },
    );
  }, 300_000);

  test("a message that is done with is gone", async () => {
    await eachCut(
      (store) => accept(store),
      ({ spool }, { id }) => spool.remove(id),
      async (outcome) => {
        expect(outcome).toEqual({ status: "fulfilled", value: "kept" });
        expect([await count("messages"), await count("bodies")]).toEqual([0, 0]);
      },
    );
  }, 300_000);

  test("what is taken over comes once, and is the host's", async () => {
    let number = 0;
    let stop = new AbortController();
    const came: string[] = [];
    await eachCut(
      async (store) => {
        number += 1;
        const id = number.toString(16).toUpperCase().padStart(12, "0");
        const envelope = JSON.stringify({ ...toOne, id, size: 0 });
        await sql(
          `INSERT INTO messages (id, lease, due, envelope, size) VALUES ('${id}', NULL, 0, $$${envelope}$$, 0)`,
        );
        stop = new AbortController();
        return { id, store };
      },
      async ({ spool }) => {
        for await (const arrival of spool.arrivals(stop.signal)) {
          if (arrival.kind !== "messages") continue;
          came.push(...arrival.messages.map(({ id }) => id));
          stop.abort();
        }
      },
      async (outcome, { id }, store) => {
        expect(outcome.status).toBe("fulfilled");
        expect(came.filter((one) => one === id)).toEqual([id]);
        expect(await store.spool.owns(id)).toBe(true);
      },
    );
    expect(new Set(came).size).toBe(came.length);
  }, 300_000);

  test("what a start asks for last is waited for", async () => {
    await eachCut(
      (store) => accept(store),
      ({ spool }) => spool.ids(),
      async (outcome, { id }, { spool }) => {
        expect(outcome).toEqual({ status: "fulfilled", value: [id] });
        await spool.remove(id);
      },
    );
  }, 300_000);

  test("what is claimed by name comes as well, and is the host's", async () => {
    let number = 0;
    await eachCut(
      async () => {
        number += 1;
        const id = number.toString(16).toUpperCase().padStart(12, "0");
        const envelope = JSON.stringify({ ...toOne, id, size: 0 });
        await sql(
          `INSERT INTO messages (id, lease, due, envelope, size) VALUES ('${id}', NULL, 0, $$${envelope}$$, 0)`,
        );
        return id;
      },
      ({ spool }, id) => spool.claim([id]).catch(() => undefined),
      async (_, id, { spool }) => {
        const stop = new AbortController();
        for await (const arrival of spool.arrivals(stop.signal))
          if (arrival.kind === "messages" && arrival.messages.some((one) => one.id === id)) stop.abort();
        expect(await spool.owns(id)).toBe(true);
      },
    );
  }, 300_000);

  /**
   * With a store whose commits wait for a standby that says nothing; `go` lets it go on. Once a commit waits, `cut` ends all
   * connections, and `end` its session, as an administrator may.
   */
  async function besideSilentStandby(
    work: (
      site: Record<"cut" | "end", () => Promise<void>> & { store: SharedStore; go: () => void },
    ) => Promise<void>,
    prepare: (store: SharedStore) => Promise<void> = async () => undefined,
  ): Promise<void> {
    const own = await startCluster();
    const standby = await own.standby("synchronous");
    const wire = await openWire(own.folder, own.port);
    const store = await openShared({ url: wire.through(await own.database()), lease: 600_000 });
    const receiver = Number(await standby.sql("SELECT pid FROM pg_stat_wal_receiver"));
    const go = (): void => void process.kill(receiver, "SIGCONT");
    const waiting = "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
    const aCommitWaits = (): Promise<void> =>
      vi.waitFor(async () => expect(await own.sql(waiting)).toBe("1"), patience);
    try {
      await prepare(store);
      process.kill(receiver, "SIGSTOP");
      await work({
        ...{ store, go },
        async cut() {
          await aCommitWaits();
          wire.cut();
          wire.heal();
        },
        async end() {
          await aCommitWaits();
          await own.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'",
          );
        },
      });
    } finally {
      go();
      await store.close();
      await wire.close();
      await own.close();
    }
  }

  test("a promise that waited for a standby is none before the standby has it", async () => {
    await besideSilentStandby(async ({ store, cut, go }) => {
      const promise = accept(store);
      promise.catch(() => undefined);
      await cut();
      await expect(promise).rejects.toThrow();
      go();
      // Its client was told to send it again.
      await vi.waitFor(async () => expect(await store.spool.ids()).toEqual([]), patience);
    });
  }, 120_000);

  test("a message that is done with is gone when the standby has that, and not before", async () => {
    let id = "";
    await besideSilentStandby(
      async ({ store, end, go }) => {
        let outcome = "";
        const removal = store.spool.remove(id).then((kept) => {
          outcome = kept;
        });
        await end();
        await new Promise((resolve) => setTimeout(resolve, 3_000));
        expect(outcome).toBe("");
        go();
        await removal;
        expect(outcome).toBe("kept");
        expect(await store.spool.ids()).toEqual([]);
      },
      async (store) => {
        id = (await accept(store)).id;
      },
    );
  }, 120_000);
});
