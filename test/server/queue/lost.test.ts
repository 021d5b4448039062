/** Messages that another host of the same database has meanwhile: nothing is recorded, nobody is told, nothing is begun. */
import { setImmediate as turn } from "node:timers/promises";
import { afterEach, describe, expect, test, vi } from "vitest";
import type { Arrival, RecordOutcome, Spool } from "../../../src/server/spool/spool.ts";
import { logged, openTestScheduler, patience, put, type TestScheduler } from "./test-scheduler.ts";

/** A spool of which a test says what arrives, and what is another's. */
interface Shared {
  readonly at: TestScheduler;
  /** What another host has. */
  readonly others: Set<string>;
  /** Resolves when the queue has heard of it. */
  readonly arrive: (arrival: Arrival) => Promise<void>;
  /** Whether this host can tell what is its own. */
  readonly certain: (is: boolean) => void;
  /** Whether the store can be read. */
  readonly readable: (is: boolean) => void;
}

const open: TestScheduler[] = [];
afterEach(async () => {
  for (const at of open.splice(0)) await at.close();
});

async function openShared(): Promise<Shared> {
  const others = new Set<string>();
  const waiting: { readonly arrival: Arrival; readonly heard: () => void }[] = [
    { arrival: { kind: "read" }, heard: () => undefined },
  ];
  let wake = (): void => undefined;
  let isCertain = true;
  let isReadable = true;
  const fenced = (id: string, work: () => Promise<RecordOutcome>): Promise<RecordOutcome> =>
    others.has(id) ? Promise.resolve("lost") : work();
  const wrap = (spool: Spool): Spool => ({
    ...spool,
    record: (envelope) => fenced(envelope.id, () => spool.record(envelope)),
    remove: (id) => fenced(id, () => spool.remove(id)),
    mayDeliver: () => isCertain,
    owns: async (id) => !others.has(id),
    async read(id) {
      if (!isReadable) throw Object.assign(new Error("the database is away"), { code: "ESTOREAWAY" });
      return spool.read(id);
    },
    load: (id, most, known) => (others.has(id) ? undefined : spool.load(id, most, known)),
    async *arrivals(stop) {
      stop.addEventListener("abort", () => wake());
      while (!stop.aborted) {
        for (const { arrival, heard } of waiting.splice(0)) {
          yield arrival;
          heard();
        }
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
  });
  const at = await openTestScheduler(wrap);
  open.push(at);
  return {
    at,
    others,
    arrive: (arrival) =>
      new Promise((heard) => {
        waiting.push({ arrival, heard });
        wake();
      }),
    certain(is) {
      isCertain = is;
    },
    readable(is) {
      isReadable = is;
    },
  };
}

/** The next hop does not answer until what this gives is called; that resolves once it has been asked. */
function stopAtAnswer({ transport }: TestScheduler): () => Promise<void> {
  let answer = (): void => undefined;
  let ask = (): void => undefined;
  const asked = new Promise<void>((resolve) => {
    ask = resolve;
  });
  transport.before = () =>
    new Promise<void>((resolve) => {
      answer = resolve;
      ask();
    });
  return async () => {
    await asked;
    answer();
  };
}

describe("a message that is another host's meanwhile", () => {
  test.each([
    ["was delivered", {}],
    ["was refused for good", { "a@example.net": "550 5.1.1 unknown" }],
    ["is to be tried again", { "a@example.net": "451 4.3.0 later" }],
  ])("is not recorded when it %s, nobody is told, and it is not tried again", async (_, answers) => {
    const { at, others } = await openShared();
    at.transport.answers = answers;
    at.transport.before = async ({ envelope }) => void others.add(envelope.id);
    const { id } = await at.submit();
    await logged(at, `${id}: another host delivers it`);
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(0), 60_000);
    at.clock.turn(patience.lifetime);
    await turn();
    expect(at.transport.delivered).toHaveLength(1);
    expect(await at.spool.ids()).toEqual([id]); // and no report
    expect(await at.spool.read(id)).toMatchObject({ attempts: 0 });
    expect(at.lines.filter((line) => line.includes("another host delivers it"))).toHaveLength(1);
  });

  test("perhaps, is tried again in a moment, and that counts as no attempt", async () => {
    const { at, certain } = await openShared();
    certain(false);
    const { id } = await at.submit();
    await logged(at, "status=deferred");
    certain(true);
    await vi.waitFor(() => expect(at.clock.alarms()).toBe(1), 60_000);
    at.clock.turn(1_000);
    await logged(at, `${id}: removed`);
    expect(at.transport.delivered).toHaveLength(1);
  });

  test("is not begun, and is in no count", async () => {
    const { at, others, arrive } = await openShared();
    const [one, other] = [
      await at.submit({ due: at.clock.now() + 60_000 }),
      await at.submit({ due: at.clock.now() + 60_000 }),
    ];
    others.add(one.id).add(other.id);
    await arrive({ kind: "lost", ids: [one.id] });
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(1), 60_000);
    at.clock.turn(60_000);
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(0), 60_000);
    expect(at.transport.delivered).toEqual([]);
    expect(at.lines.join("\n")).not.toContain("cannot be read");
  });

  test("is recorded where nobody took it, and goes on when it comes back", async () => {
    const { at, arrive } = await openShared();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const go = stopAtAnswer(at);
    const sent = await at.submit();
    await vi.waitFor(() => expect(at.scheduler.active().size).toBe(1), 60_000);
    await arrive({ kind: "lost", ids: "all" });
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(0), 60_000);
    // It comes back while its delivery is still under way: the next one waits for the end of that.
    await arrive({ kind: "messages", messages: [{ id: sent.id, envelope: sent }] });
    await go();
    at.transport.before = async () => undefined;
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(1), 60_000);
    expect(await at.spool.read(sent.id)).toMatchObject({ attempts: 1 });
    expect(at.transport.delivered).toHaveLength(1);
    at.transport.answers = {};
    at.clock.turn(patience.first);
    await logged(at, `${sent.id}: removed`);
    expect(at.transport.delivered).toHaveLength(2);
    expect(await at.spool.ids()).toEqual([]);
  });

  test("goes on as well where it cannot be read when it comes back", async () => {
    const { at, arrive, readable } = await openShared();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const go = stopAtAnswer(at);
    const sent = await at.submit();
    await vi.waitFor(() => expect(at.scheduler.active().size).toBe(1), 60_000);
    await arrive({ kind: "lost", ids: "all" });
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(0), 60_000);
    await arrive({ kind: "messages", messages: [{ id: sent.id, envelope: sent }] });
    readable(false);
    await go();
    at.transport.before = async () => {
      at.transport.answers = {};
    };
    await logged(at, `${sent.id}: the spool cannot be written, trying again later: the database is away`);
    readable(true);
    await logged(at, `${sent.id}: removed`);
    expect(at.transport.delivered).toHaveLength(2);
  });

  test("comes from another host while this one runs", async () => {
    const { at, arrive } = await openShared();
    const envelope = await put(at.spool);
    await arrive({ kind: "messages", messages: [{ id: envelope.id, envelope }] });
    await logged(at, `${envelope.id}: removed`);
  });

  test("cannot be changed by an operator here", async () => {
    const { at, others } = await openShared();
    const { id } = await at.submit({ due: at.clock.now() + 60_000 });
    others.add(id);
    expect(await at.scheduler.change(id, async (envelope) => envelope)).toBe(false);
    expect(at.scheduler.waiting().messages).toBe(0);
  });
});
