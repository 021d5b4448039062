/** What the scheduler makes of a spool that fails, of restarts, and of the end. */
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

const minute = 60_000;
const full = Object.assign(new Error("ENOSPC: no space left on device, write"), { code: "ENOSPC" });

/** A spool of which some methods fail for as long as `broken` names them. */
function fragile(broken: Set<keyof Spool>): (spool: Spool) => Spool {
  return (spool) => ({
    ...spool,
    record: (envelope) => (broken.has("record") ? Promise.reject(full) : spool.record(envelope)),
    remove: (id) => (broken.has("remove") ? Promise.reject(full) : spool.remove(id)),
    draft: () => (broken.has("draft") ? Promise.reject(full) : spool.draft()),
  });
}

test("a clock that is set back while a spool takes its time prolongs no delay", async () => {
  let setClock = (): void => undefined;
  const slow = (spool: Spool): Spool => ({
    ...spool,
    async record(envelope) {
      const kept = await spool.record(envelope);
      setClock();
      setClock = () => undefined;
      return kept;
    },
  });
  const at = await open(slow);
  setClock = () => at.clock.set(-60 * minute);
  at.transport.answers = { "a@example.net": "451 4.3.0 later" };
  const { id } = await at.submit();
  await vi.waitFor(() => expect(at.clock.alarms()).toBe(1), 60_000);
  at.transport.answers = {};
  at.clock.turn(patience.first);
  await logged(at, `${id}: removed`);
});

describe("a spool that cannot be written", () => {
  const cases: readonly {
    readonly name: string;
    readonly broken: keyof Spool;
    readonly answers: Readonly<Record<string, string>>;
    /** How often each recipient is tried in all. */
    readonly tries: Readonly<Record<string, number>>;
    readonly reports: number;
  }[] = [
    {
      name: "at the removal delivers nothing twice",
      broken: "remove",
      answers: {},
      tries: { "a@example.net": 1, "b@example.org": 1 },
      reports: 0,
    },
    {
      name: "at the record tries only those again who were deferred",
      broken: "record",
      answers: { "b@example.org": "451 4.3.0 later" },
      tries: { "a@example.net": 1, "b@example.org": 3 },
      reports: 0,
    },
    {
      name: "for a report tells the sender once, later",
      broken: "draft",
      answers: { "b@example.org": "550 5.1.1 no" },
      tries: { "a@example.net": 1, "b@example.org": 1 },
      reports: 1,
    },
    {
      name: "at the removal after a report tells the sender once",
      broken: "remove",
      answers: { "b@example.org": "550 5.1.1 no" },
      tries: { "a@example.net": 1, "b@example.org": 1 },
      reports: 1,
    },
  ];

  test.each(cases)("$name", async ({ broken, answers, tries, reports }) => {
    const failing = new Set<keyof Spool>();
    const at = await open(fragile(failing));
    at.transport.answers = answers;
    at.transport.before = async () => void failing.add(broken);
    const { id } = await at.submit({ recipients: [recipient("a@example.net"), recipient("b@example.org")] });
    await logged(
      at,
      `${id}: the spool cannot be written, trying again later: ENOSPC: no space left on device`,
    );
    await vi.waitFor(() => expect(at.clock.alarms()).toBeGreaterThan(0), 60_000);
    const before = at.lines.length;
    at.clock.turn(patience.first);
    await vi.waitFor(() => expect(at.lines.slice(before).join("\n")).toContain("trying again later"), 60_000);
    failing.clear();
    at.transport.before = async () => undefined;
    at.transport.answers = Object.fromEntries(
      Object.entries(answers).filter(([, reply]) => !reply.startsWith("4")),
    );
    await vi.waitFor(() => expect(at.clock.alarms()).toBeGreaterThan(0), 60_000);
    at.clock.turn(patience.first);
    await logged(at, `${id}: removed`);
    // The report may have met the same trouble, and wait for a time of its own.
    await vi.waitFor(async () => {
      at.clock.turn(patience.first);
      expect(await at.spool.ids()).toEqual([]);
    }, 60_000);
    const tried = at.transport.delivered.filter((one) => one.id === id).flatMap(({ to }) => to);
    const count = (address: string): number => tried.filter((one) => one === address).length;
    expect(Object.fromEntries(Object.keys(tries).map((address) => [address, count(address)]))).toEqual(tries);
    expect(at.lines.filter((line) => line.includes("sender non-delivery"))).toHaveLength(reports);
  });

  test("is not asked again at once", async () => {
    const failing = new Set<keyof Spool>(["remove"]);
    const at = await open(fragile(failing));
    const { id } = await at.submit();
    await logged(at, `${id}: the spool cannot be written`);
    await vi.waitFor(() => expect(at.clock.alarms()).toBe(1), 60_000);
    at.clock.turn(patience.first - 1);
    expect(at.lines.filter((line) => line.includes("cannot be written"))).toHaveLength(1);
    expect(at.scheduler.waiting()).toEqual({ messages: 1, held: 0, oldest: accepted });
  });
});

describe("a start", () => {
  test("delivers what was left, and tells whom nobody had told", async () => {
    const at = await open(undefined, async (spool) => {
      await put(spool);
      const refused = await put(spool, { recipients: [recipient("b@example.net")] });
      const reply = {
        code: 550,
        status: "5.1.1",
        text: "no",
        relay: "mx.example.net[192.0.2.1]:25",
        command: "RCPT TO",
        at: accepted,
      };
      await spool.record({ ...refused, recipients: [recipient("b@example.net", { reply })] });
    });
    await vi.waitFor(async () => expect(await at.spool.ids()).toEqual([]), 60_000);
    const carried = at.transport.delivered.flatMap(({ to }) => to);
    expect(new Set(carried)).toEqual(new Set(["a@example.net", "user1@example.org"]));
    expect(carried).toHaveLength(2);
  });

  test("leaves what is not due until its time", async () => {
    const at = await open(undefined, async (spool) => {
      await put(spool, { due: accepted + 10 * minute });
    });
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(1), 60_000);
    at.clock.turn(9 * minute);
    expect(at.transport.delivered).toEqual([]);
    at.clock.turn(minute);
    await vi.waitFor(async () => expect(await at.spool.ids()).toEqual([]), 60_000);
  });

  test("tells of damage once, leaves it where it is, and delivers the rest", async () => {
    let damaged = "";
    const at = await open(
      (spool) => ({
        ...spool,
        async *arrivals(stop) {
          for await (const arrival of spool.arrivals(stop)) {
            const unlike = { id: damaged, envelope: { damaged: "queue/X: not JSON" } };
            if (arrival.kind !== "messages") yield arrival;
            else {
              const messages = arrival.messages.map((one) => (one.id === damaged ? unlike : one));
              yield { kind: "messages", messages };
            }
          }
        },
      }),
      async (spool) => {
        damaged = (await put(spool)).id;
        await put(spool);
      },
    );
    await vi.waitFor(() => expect(at.transport.delivered).toHaveLength(1), 60_000);
    await logged(at, `${damaged}: cannot be read, left where it is: queue/X: not JSON`);
    at.clock.turn(24 * 60 * minute);
    await vi.waitFor(async () => expect(await at.spool.ids()).toEqual([damaged]), 60_000);
    expect(at.lines.filter((line) => line.includes("left where it is"))).toHaveLength(1);
  });

  test("takes no message for damaged that was delivered while the spool was being read", async () => {
    let listed = (): void => undefined;
    const at = await open((spool) => {
      const ids = async (): Promise<readonly string[]> => {
        await new Promise<void>((resolve) => {
          listed = resolve;
        });
        return ["000000000001", ...(await spool.ids())];
      };
      return {
        ...spool,
        arrivals: (stop) => arrivalsIn({ ...spool, ids }, stop),
        remove: async (id) => {
          listed();
          await new Promise(setImmediate);
          return spool.remove(id);
        },
      };
    });
    const { id } = await at.submit();
    await logged(at, `${id}: removed`);
    await logged(at, "000000000001: cannot be read");
    expect(at.lines.filter((line) => line.includes("cannot be read"))).toHaveLength(1);
  });
});

describe("the end", () => {
  test("waits for what is under way, begins nothing new, and keeps the rest due as it was", async () => {
    const at = await open();
    const answers: (() => void)[] = [];
    at.transport.before = () => new Promise((resolve) => answers.push(resolve));
    const first = await at.submit();
    await vi.waitFor(() => expect(answers).toHaveLength(1), 60_000);
    const drained = at.scheduler.drain(minute);
    const second = await at.submit();
    for (const answer of answers) answer();
    await drained;
    expect(at.transport.delivered.map(({ id }) => id)).toEqual([first.id]);
    expect(await at.spool.ids()).toEqual([second.id]);
    expect(await at.spool.read(second.id)).toMatchObject({ due: second.due, attempts: 0 });
  });

  test("loses patience after its time, and nothing is held against the message", async () => {
    const at = await open();
    at.transport.before = (_, signal) =>
      new Promise((resolve) => {
        signal.addEventListener("abort", () => resolve());
      });
    const { id, due } = await at.submit();
    await vi.waitFor(() => expect(at.scheduler.waiting().messages).toBe(1), 60_000);
    const drained = at.scheduler.drain(minute);
    at.clock.turn(minute);
    await drained;
    expect(await at.spool.read(id)).toMatchObject({ due, attempts: 0, recipients: [{ state: "waiting" }] });
  });

  test("keeps what was answered before it, though other destinations were not", async () => {
    const at = await open();
    at.transport.before = (message, signal) =>
      message.recipients[0]?.address === "b@example.org"
        ? new Promise((resolve) => {
            signal.addEventListener("abort", () => resolve());
          })
        : Promise.resolve();
    const { id } = await at.submit({ recipients: [recipient("a@example.net"), recipient("b@example.org")] });
    await logged(at, `${id}: to=<a@example.net>`);
    const drained = at.scheduler.drain(minute);
    at.clock.turn(minute);
    await drained;
    expect(await at.spool.read(id)).toMatchObject({
      attempts: 0,
      recipients: [{ state: "delivered" }, { state: "waiting" }],
    });
  });
});

describe("a fault of ours", () => {
  test("defers the message, is logged with its stack, and costs nobody else anything", async () => {
    const at = await open();
    at.transport.before = async ({ recipients }) => {
      if (recipients[0]?.address === "b@example.org") throw new TypeError("x is not a function");
    };
    const { id } = await at.submit({ recipients: [recipient("a@example.net"), recipient("b@example.org")] });
    await logged(at, `bug in delivery of ${id} to example.org: TypeError: x is not a function`);
    await vi.waitFor(async () => expect(await at.spool.read(id)).toMatchObject({ attempts: 1 }), 60_000);
    expect(await at.spool.read(id)).toMatchObject({
      due: accepted + patience.first,
      recipients: [{ state: "delivered" }, { state: "waiting" }],
    });
    const other = await at.submit();
    await logged(at, `${other.id}: removed`);
  });

  test("in a report repeats no delivery", async () => {
    const at = await open((spool) => ({
      ...spool,
      bodyStart: () => Promise.reject(new TypeError("x is not a function")),
    }));
    at.transport.answers = { "b@example.org": "550 5.1.1 no" };
    const { id } = await at.submit({ recipients: [recipient("a@example.net"), recipient("b@example.org")] });
    await logged(at, `bug in recording ${id}: TypeError: x is not a function`);
    await vi.waitFor(
      async () => expect(await at.spool.read(id)).toMatchObject({ recipients: [{ state: "delivered" }, {}] }),
      5000,
    );
    await vi.waitFor(() => expect(at.clock.alarms()).toBe(1), 60_000);
    at.clock.turn(patience.first);
    await vi.waitFor(() => expect(at.lines.join("\n")).toMatch(/(?:bug in recording[\s\S]*){2}/), 60_000);
    expect(at.transport.delivered.flatMap(({ to }) => to).toSorted()).toEqual([
      "a@example.net",
      "b@example.org",
    ]);
  });
});
