/** Several hosts with one database: who delivers what, and that nobody records what is another's meanwhile. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test, vi } from "vitest";
import type { Envelope } from "../../../../src/server/spool/envelope.ts";
import { isDamaged } from "../../../../src/server/spool/spool.ts";
import { type Cluster, startCluster } from "../../../postgres/cluster.ts";
import { real } from "../../../tools/real.ts";
import { openShared, type SharedStore, type SharedStoreOptions } from "../stores.ts";
import { toOne } from "../to-one.ts";

/** Milliseconds. As short as may be on a machine that has much to do. */
const short = 5_000;
const patience = 60_000;

describe.skipIf(!real("postgresql"))("hosts that share a database", () => {
  let cluster: Cluster;
  let url: string;
  const open: SharedStore[] = [];
  beforeAll(async () => {
    cluster = await startCluster();
  }, 120_000);
  beforeEach(async () => {
    url = await cluster.database();
  });
  afterEach(async () => {
    for (const store of open.splice(0)) await store.close();
  }, 60_000);
  afterAll(async () => cluster?.close(), 60_000);

  async function host(name: string, more: Partial<SharedStoreOptions> = {}): Promise<SharedStore> {
    const store = await openShared({ url, host: `${name}.example.org`, ...more });
    open.push(store);
    return store;
  }

  async function accept({ spool }: SharedStore): Promise<Envelope> {
    const draft = await spool.draft();
    await draft.write(Buffer.from("x"));
    return draft.accept(toOne);
  }

  /** Dies as a process does, and is not closed any more. */
  async function kill(store: SharedStore): Promise<void> {
    open.splice(open.indexOf(store), 1);
    await store.die();
  }

  const idsOf = (store: SharedStore): readonly string[] => store.arrived.map(({ id }) => id).sort();

  test("have digits of their own, which stay, and no more than there are", async () => {
    const [a, b] = [await host("a"), await host("b")];
    expect([a.spool.mark, b.spool.mark]).toEqual(["0", "1"]);
    expect((await accept(b)).id).toMatch(/1$/);
    await expect(openShared({ url, host: "c.example.org", mark: "1" })).rejects.toThrow(
      'host-mark of [spool]: "1" is the digit of b.example.org in this database',
    );
    expect((await host("c", { mark: "F" })).spool.mark).toBe("F");
    await b.reopen(Date.now);
    expect(b.spool.mark).toBe("1");
  });

  test("are refused where another relay is at work by the same name", async () => {
    const a = await host("a", { lease: short });
    await expect(openShared({ url, host: "a.example.org", owner: "another" })).rejects.toThrow(
      /^another relay is at work as a\.example\.org with this database, heard of [\d.]+ seconds ago; /,
    );
    await kill(a);
    await vi.waitFor(() => host("a", { owner: "another" }), patience);
  });

  test("take nothing of each other while both live", async () => {
    const [a, b] = [await host("a", { lease: short }), await host("b", { lease: short })];
    await Promise.all([a.follow(), b.follow()]);
    const { id } = await accept(a);
    await new Promise((resolve) => setTimeout(resolve, 2 * short));
    expect([idsOf(a), idsOf(b)]).toEqual([[], []]);
    expect([await a.spool.owns(id), await b.spool.owns(id)]).toEqual([true, false]);
    expect(await b.spool.load(id, 10)).toBeUndefined();
    expect(await b.spool.read(id)).toMatchObject({ id });
    expect(a.spool.mayDeliver()).toBe(true);
  });

  test("take over what a host that died had, all of it and nothing twice", async () => {
    const lease = short;
    const [a, b, c] = [await host("a", { lease }), await host("b", { lease }), await host("c", { lease })];
    await Promise.all([a.follow(), b.follow(), c.follow()]);
    const ids = (await Promise.all(Array.from({ length: 1_000 }, () => accept(a)))).map(({ id }) => id);
    await kill(a);
    await vi.waitFor(() => expect(b.arrived.length + c.arrived.length).toBe(1_000), patience);
    expect([...idsOf(b), ...idsOf(c)].sort()).toEqual([...ids].sort());
    expect(b.events.concat(c.events).join("\n")).toContain("of a.example.org");
    for (const store of [b, c]) {
      const [first] = store.arrived;
      if (first !== undefined) expect(await store.spool.owns(first.id)).toBe(true);
    }
  });

  test("know how many of them deliver, as they come, drain and die", async () => {
    const lease = short;
    const [a, b, c] = [await host("a", { lease }), await host("b", { lease }), await host("c", { lease })];
    expect(a.spool.liveHosts()).toBe(1); // until it has looked
    await Promise.all([a.follow(), b.follow(), c.follow()]);
    const know = (store: SharedStore, hosts: number): Promise<void> =>
      vi.waitFor(() => expect(store.spool.liveHosts()).toBe(hosts), patience);
    await Promise.all([know(a, 3), know(b, 3), know(c, 3)]);
    await kill(c);
    await Promise.all([know(a, 2), know(b, 2)]);
    await b.spool.handOver(new Set());
    await know(a, 1);
    const d = await host("d", { lease });
    await d.follow();
    await Promise.all([know(a, 2), know(d, 2)]);
    expect(a.spool.liveHosts()).toBe(2);
  });

  test("give back nothing to a host that is started again at once: it finds its own", async () => {
    const [a, b] = [await host("a"), await host("b")];
    const { id } = await accept(a);
    await kill(a);
    const again = await host("a");
    await again.follow();
    expect(idsOf(again)).toEqual([id]);
    await b.follow();
    expect(idsOf(b)).toEqual([]);
  });

  test("take over at once from a host that is stopped", async () => {
    const [a, b] = [await host("a", { lease: 600_000 }), await host("b", { lease: 600_000 })];
    await b.follow();
    const { id } = await accept(a);
    open.splice(open.indexOf(a), 1);
    await a.close();
    await vi.waitFor(() => expect(idsOf(b)).toEqual([id]), patience);
  });

  test("let a host that was silent for too long record nothing that another has", async () => {
    const [a, b] = [await host("a", { lease: short }), await host("b", { lease: short })];
    await Promise.all([a.follow(), b.follow()]);
    const [mine, taken, gone] = [await accept(a), await accept(a), await accept(a)];
    // As if it had been stopped: the others see a lease whose time is over.
    await cluster.sql(
      "UPDATE leases SET ended = true WHERE host = 'a.example.org'; UPDATE messages SET lease = (SELECT number FROM leases " +
        `WHERE host = 'b.example.org') WHERE id IN ('${taken.id}', '${gone.id}')`,
      /(test_\d+)\?/.exec(url)?.[1],
    );
    expect(await b.spool.remove(gone.id)).toBe("kept");
    expect(await a.spool.owns(taken.id)).toBe(false);
    expect(await a.spool.owns(mine.id)).toBe(false);
    expect(await a.spool.load(mine.id, 10)).toBeUndefined();
    expect(await a.spool.record({ ...taken, attempts: 1 })).toBe("lost");
    expect(await a.spool.remove(taken.id)).toBe("lost");
    expect(await a.spool.record({ ...gone, attempts: 1 })).toBe("lost");
    expect(await a.spool.remove(gone.id)).toBe("kept"); // nothing is left to be done
    expect(await b.spool.read(taken.id)).toMatchObject({ attempts: 0 });
    await vi.waitFor(() => expect(a.lost).toEqual(["all"]), patience);
    expect(a.events).toContain("over: its lease was not renewed in time");
    // What nobody took meanwhile is still its own to record, and comes back.
    await vi.waitFor(() => expect([...idsOf(a), ...idsOf(b)]).toEqual([mine.id]), patience);
  });

  test("accept under a new lease where the old one has ended", async () => {
    const [a, b] = [await host("a"), await host("b")];
    await Promise.all([a.follow(), b.follow()]);
    const before = a.spool.lease();
    await cluster.sql(
      "UPDATE leases SET ended = true WHERE host = 'a.example.org'",
      /(test_\d+)\?/.exec(url)?.[1],
    );
    const { id } = await accept(a);
    expect(a.spool.lease()).toBeGreaterThan(before);
    expect(await a.spool.owns(id)).toBe(true);
  });

  test("know what they promised under a new lease before they had heard that the old one was over", async () => {
    const a = await host("a");
    const stop = new AbortController();
    const arrivals = a.spool.arrivals(stop.signal)[Symbol.asyncIterator]();
    expect((await arrivals.next()).value).toEqual({ kind: "read" });
    // A query that takes long: nobody asks what comes next.
    const before = await accept(a);
    await cluster.sql(
      "UPDATE leases SET ended = true WHERE host = 'a.example.org'",
      /(test_\d+)\?/.exec(url)?.[1],
    );
    const after = await accept(a);
    expect((await arrivals.next()).value).toEqual({ kind: "lost", ids: "all" });
    const come = [(await arrivals.next()).value, (await arrivals.next()).value];
    expect(come).toEqual(
      [after, before].map((envelope) => ({ kind: "messages", messages: [{ id: envelope.id, envelope }] })),
    );
    stop.abort();
    await arrivals.return?.();
  });

  test("sweep what a host that died was still receiving, and it cannot be accepted any more", async () => {
    const [a, b] = [await host("a"), await host("b")];
    const draft = await a.spool.draft();
    await draft.write(Buffer.alloc(3_000_000));
    const name = /(test_\d+)\?/.exec(url)?.[1];
    expect(await cluster.sql("SELECT count(*) > 0 FROM bodies", name)).toBe("t");
    await cluster.sql("UPDATE leases SET ended = true WHERE host = 'a.example.org'", name);
    await b.spool.sweep();
    expect(await cluster.sql("SELECT count(*) FROM bodies", name)).toBe("0");
    await expect(draft.accept(toOne)).rejects.toMatchObject({ code: "ESTALE" });
    expect(await a.spool.ids()).toEqual([]);
  });

  test("can have some of what a dead host had by name, and change it before it arrives", async () => {
    const [a, b] = [await host("a"), await host("b")];
    const [one, other] = [await accept(a), await accept(a)];
    await b.spool.claim([one.id, "000000000000"]);
    expect(await b.spool.owns(one.id)).toBe(false); // a has it
    open.splice(open.indexOf(a), 1);
    await a.close();
    await b.spool.claim([one.id, "000000000000"]);
    expect([await b.spool.owns(one.id), await b.spool.owns(other.id)]).toEqual([true, false]);
    const held = { ...one, held: { at: 1, by: "tpa-submit", reason: "" } };
    expect(await b.spool.record(held)).toBe("kept");
    await b.follow();
    expect(idsOf(b)).toEqual([one.id, other.id].sort());
    expect(b.arrived.find(({ id }) => id === one.id)?.envelope).toEqual(held);
  });

  test("hand over what they have, but what is in hand, and take nothing any more", async () => {
    const [a, b] = [await host("a"), await host("b")];
    await Promise.all([a.follow(), b.follow()]);
    const [held, other] = [await accept(a), await accept(a)];
    expect(await a.spool.handOver(new Set([held.id]))).toBe(1);
    await vi.waitFor(() => expect(idsOf(b)).toEqual([other.id]), patience);
    expect(a.lost).toEqual([other.id]);
    expect(await a.spool.record({ ...held, attempts: 1 })).toBe("kept");
    expect(await a.spool.handOver(new Set())).toBe(1);
    await vi.waitFor(() => expect(idsOf(b)).toEqual([held.id, other.id].sort()), patience);
    expect(await a.spool.handOver(new Set())).toBe(0);
    const states = await b.spool.hosts();
    expect(
      states.map(({ name, live, draining, waiting, own }) => ({ name, live, draining, waiting, own })),
    ).toEqual([
      { name: "a.example.org", live: true, draining: true, waiting: 0, own: false },
      { name: "b.example.org", live: true, draining: false, waiting: 2, own: true },
    ]);
  });

  test("end nobody's lease after the database was away, before each had the time to renew its own", async () => {
    const [a, b] = [await host("a", { lease: short }), await host("b", { lease: short })];
    await Promise.all([a.follow(), b.follow()]);
    const { id } = await accept(a);
    await cluster.stop("fast");
    await new Promise((resolve) => setTimeout(resolve, 1.5 * short));
    await cluster.start();
    await new Promise((resolve) => setTimeout(resolve, 1.5 * short));
    expect(await a.spool.owns(id)).toBe(true);
    expect([a.events, b.events, idsOf(b)]).toEqual([[], [], []]);
  });

  test("refuse by a limit that counts for all of them together, in the promise itself", async () => {
    const limit: SharedStoreOptions["spendIn"] = async (query, spends) => {
      const refusals = new Map();
      for (const spend of spends) {
        const [row] = await query<{ count: number }>(
          "SELECT count(*) AS count FROM messages WHERE login = $1",
          [spend.login],
        );
        const before = spends.indexOf(spend) - refusals.size;
        if ((row?.count ?? 0) + before >= 10) refusals.set(spend, { limit: "10 messages", until: 1 });
      }
      return refusals;
    };
    const a = await host("a", { spendIn: limit });
    const outcomes = await Promise.all(
      Array.from({ length: 30 }, async () => {
        const draft = await a.spool.draft();
        await draft.write(Buffer.from("x"));
        return draft.accept(toOne, { login: "user1", at: 1, recipients: [] });
      }),
    );
    expect(outcomes.filter((one) => "limit" in one)).toHaveLength(20);
    expect(await a.spool.ids()).toHaveLength(10);
    const [first = ""] = await a.spool.ids();
    expect(isDamaged(await a.spool.read(first))).toBe(false);
  });
});
