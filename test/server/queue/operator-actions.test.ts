/** What operators do to a message while it is being delivered. */
import { afterEach, describe, expect, test, vi } from "vitest";
import { arrivalsIn } from "../../../src/server/spool/arrivals.ts";
import type { Spool } from "../../../src/server/spool/spool.ts";
import { accepted, recipient } from "../delivery/fixtures.ts";
import { logged, openTestScheduler, patience, put, type TestScheduler } from "./test-scheduler.ts";

let setup: TestScheduler | undefined;

afterEach(async () => {
  await setup?.close();
  setup = undefined;
});

async function open(...args: Parameters<typeof openTestScheduler>): Promise<TestScheduler> {
  setup = await openTestScheduler(...args);
  return setup;
}

/** Deliveries wait until they are let go. */
function gate({ transport }: TestScheduler) {
  const waiting: (() => void)[] = [];
  transport.before = () => new Promise((resolve) => waiting.push(resolve));
  return {
    begun: () => waiting.length,
    open(): void {
      transport.before = async () => undefined;
      for (const go of waiting.splice(0)) go();
    },
  };
}

const held = { at: accepted, by: "root", reason: "a test" };

describe("a change of a message", () => {
  test("waits for its turn, sees what came of it, and decides when it is tried again", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const waiting = gate(at);
    const { id } = await at.submit();
    await expect.poll(waiting.begun).toBe(1);
    expect([...at.scheduler.active()]).toEqual([id]);
    const changed = at.scheduler.change(id, async (envelope) => {
      expect(at.scheduler.active().size).toBe(0);
      expect(envelope).toMatchObject({ attempts: 1, recipients: [{ reply: { text: "later" } }] });
      at.transport.answers = {};
      const now = { ...envelope, due: at.clock.now() };
      await at.spool.record(now);
      return now;
    });
    waiting.open();
    expect(await changed).toBe(true);
    await logged(at, `${id}: removed`);
    expect(at.transport.delivered).toHaveLength(2);
  });

  test("that holds it keeps it where it is until another releases it", async () => {
    const at = await open(undefined, async (spool) => void (await put(spool, { due: accepted + 5 })));
    const [id = ""] = await at.spool.ids();
    expect(
      await at.scheduler.change(id, async (envelope) => {
        await at.spool.record({ ...envelope, held });
        return { ...envelope, held };
      }),
    ).toBe(true);
    expect(at.scheduler.waiting()).toEqual({ messages: 1, held: 1, oldest: null });
    at.clock.turn(patience.lifetime);
    await at.scheduler.change(id, async (envelope) => {
      const released = { ...envelope };
      delete released.held;
      await at.spool.record(released);
      return released;
    });
    await vi.waitFor(async () => expect(await at.spool.ids()).toEqual([]), 60_000);
    expect(at.transport.delivered.some((one) => one.id === id)).toBe(true);
  });

  test("that holds it while one destination is tried keeps it from the others", async () => {
    const at = await open();
    const waiting = gate(at);
    const recipients = Array.from({ length: 6 }, (_, n) => recipient(`a@${n}.example.net`));
    const { id } = await at.submit({ recipients });
    await expect.poll(waiting.begun).toBe(patience.concurrency);
    const changed = at.scheduler.change(id, async (envelope) => {
      expect(envelope).toMatchObject({ attempts: 0 });
      await at.spool.record({ ...envelope, held });
      return { ...envelope, held };
    });
    waiting.open();
    expect(await changed).toBe(true);
    expect(at.transport.delivered).toHaveLength(patience.concurrency);
    const states = async (): Promise<readonly string[]> => {
      const envelope = await at.spool.read(id);
      return "damaged" in envelope ? [] : envelope.recipients.map(({ state }) => state);
    };
    expect((await states()).filter((state) => state === "delivered")).toHaveLength(patience.concurrency);
    await at.scheduler.change(id, async (envelope) => {
      const released = { ...envelope };
      delete released.held;
      await at.spool.record(released);
      return released;
    });
    await logged(at, `${id}: removed`);
    expect(at.transport.delivered.map(({ to }) => to.join()).toSorted()).toEqual(
      recipients.map(({ address }) => address),
    );
  });

  test("finds no message that was delivered before it could begin, nor one that never was", async () => {
    const at = await open();
    const waiting = gate(at);
    const { id } = await at.submit();
    await expect.poll(waiting.begun).toBe(1);
    const work = vi.fn(async () => undefined);
    const changed = at.scheduler.change(id, work);
    waiting.open();
    expect(await changed).toBe(false);
    expect(await at.scheduler.change("000000000001", work)).toBe(false);
    expect(work).not.toHaveBeenCalled();
  });

  test("that removes it is the end of it", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const { id } = await at.submit();
    await logged(at, `${id}: to=`);
    const drop = () => at.scheduler.change(id, async () => at.spool.remove(id).then(() => undefined));
    expect(await Promise.all([drop(), drop()])).toEqual([true, false]);
    at.clock.turn(patience.lifetime);
    expect(at.scheduler.waiting().messages).toBe(0);
    expect(at.transport.delivered).toHaveLength(1);
  });

  test("comes after the one that was asked for first, and neither is lost", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const { id } = await at.submit();
    await logged(at, `${id}: to=`);
    const order: number[] = [];
    const changes = [1, 2, 3, 4].map((number) =>
      at.scheduler.change(id, async (envelope) => {
        order.push(number);
        await new Promise(setImmediate);
        const now = { ...envelope, attempts: envelope.attempts + 10, due: at.clock.now() };
        await at.spool.record(now);
        order.push(number);
        return now;
      }),
    );
    expect(await Promise.all(changes)).toEqual([true, true, true, true]);
    expect(order).toEqual([1, 1, 2, 2, 3, 3, 4, 4]);
    await vi.waitFor(
      async () => expect(await at.spool.read(id)).toMatchObject({ attempts: expect.any(Number) }),
      60_000,
    );
    const envelope = await at.spool.read(id);
    expect("damaged" in envelope ? 0 : envelope.attempts).toBeGreaterThanOrEqual(41);
  });

  test("that fails is told, and the message goes on as the spool has it", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const { id } = await at.submit();
    await logged(at, `${id}: to=`);
    await vi.waitFor(() => expect(at.clock.alarms()).toBe(1), 60_000);
    const trouble = new Error("no space left");
    await expect(at.scheduler.change(id, () => Promise.reject(trouble))).rejects.toBe(trouble);
    at.transport.answers = {};
    at.clock.turn(patience.first - 1);
    expect(at.transport.delivered).toHaveLength(1);
    at.clock.turn(1);
    await logged(at, `${id}: removed`);
  });

  test("waits for what is still being read at the start", async () => {
    let id = "";
    let listed = (): void => undefined;
    const at = await open(
      (spool) => {
        const ids = () =>
          new Promise<void>((resolve) => {
            listed = resolve;
          }).then(() => spool.ids());
        return { ...spool, arrivals: (stop) => arrivalsIn({ ...spool, ids }, stop) };
      },
      async (spool) => {
        ({ id } = await put(spool, { due: accepted + 5 }));
      },
    );
    const changed = at.scheduler.change(id, async (envelope) => envelope);
    listed();
    expect(await changed).toBe(true);
  });

  test("is made after the spool was told what could not be recorded, or not at all", async () => {
    const failing = new Set<keyof Spool>();
    const full = Object.assign(new Error("ENOSPC"), { code: "ENOSPC" });
    const at = await open((spool) => ({
      ...spool,
      record: (envelope) => (failing.has("record") ? Promise.reject(full) : spool.record(envelope)),
    }));
    at.transport.answers = { "b@example.org": "451 4.3.0 later" };
    at.transport.before = async () => void failing.add("record");
    const { id } = await at.submit({ recipients: [recipient("a@example.net"), recipient("b@example.org")] });
    await logged(at, `${id}: the spool cannot be written`);
    await vi.waitFor(() => expect(at.scheduler.active().size).toBe(0), 60_000);
    const states: string[] = [];
    const look = () =>
      at.scheduler.change(id, async (envelope) => {
        states.push(...envelope.recipients.map(({ state }) => state));
        return envelope;
      });
    await expect(look()).rejects.toThrow(`${id}: the spool cannot be written; try again later`);
    failing.clear();
    expect(await look()).toBe(true);
    expect(states).toEqual(["delivered", "waiting"]);
    at.transport.before = async () => undefined;
    at.transport.answers = {};
    at.clock.turn(patience.first);
    await logged(at, `${id}: removed`);
    expect(
      at.transport.delivered.flatMap(({ to }) => to).filter((to) => to === "a@example.net"),
    ).toHaveLength(1);
  });

  test("that is under way is waited for at the end", async () => {
    const at = await open(undefined, async (spool) => void (await put(spool, { due: accepted + 5 })));
    const [id = ""] = await at.spool.ids();
    let finish: (() => void) | undefined;
    const done: string[] = [];
    const changed = at.scheduler.change(id, async (envelope) => {
      await new Promise<void>((resolve) => {
        finish = resolve;
      });
      await at.spool.record(envelope);
      done.push("changed");
      return envelope;
    });
    await vi.waitFor(() => expect(finish).toBeDefined(), 60_000);
    const drained = at.scheduler.drain(0).then(() => done.push("drained"));
    await new Promise(setImmediate);
    finish?.();
    await Promise.all([changed, drained]);
    expect(done).toEqual(["changed", "drained"]);
  });
});
