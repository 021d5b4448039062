/** Who waits for whom: senders, destinations, pauses. */
import { afterEach, describe, expect, test, vi } from "vitest";
import type { DeliveryActivity, ReportActivity } from "../../../src/server/delivery/transaction.ts";
import { logTo } from "../../../src/server/log/log.ts";
import { type Scheduler, startScheduler } from "../../../src/server/queue/scheduler.ts";
import type { RetryPolicy } from "../../../src/server/queue/verdict.ts";
import { accepted, recipient } from "../delivery/fixtures.ts";
import { paperSpool } from "./memory-spool.ts";
import { fakeTransport, patience, turnableClock } from "./test-scheduler.ts";

const minute = 60_000;
let scheduler: Scheduler | undefined;
let passTime = (): void => undefined;

afterEach(async () => {
  const drained = scheduler?.drain(0);
  passTime();
  await drained;
  logTo(() => undefined);
});

/** A scheduler on paper. */
function hall(more: Partial<RetryPolicy> = {}) {
  const clock = turnableClock(accepted);
  passTime = () => clock.turn(0);
  const transport = fakeTransport(clock.now);
  const lines: string[] = [];
  logTo(({ text }) => lines.push(text));
  const paper = paperSpool();
  return {
    ...paper,
    clock,
    transport,
    lines,
    start(): Scheduler {
      const setup = { spool: paper.spool, transport, hostname: "submission.example.org" };
      scheduler = startScheduler(setup, { ...patience, ...more }, clock);
      return scheduler;
    },
  };
}

const to = (...addresses: readonly string[]) => ({
  recipients: addresses.map((address) => recipient(address)),
});

/** Holds back what goes to `destination` until it is let go. */
function holdUp({ transport }: ReturnType<typeof hall>, destination: string) {
  const waiting: (() => void)[] = [];
  let free = false;
  transport.before = (message, signal) =>
    free || !message.recipients[0]?.address.endsWith(`@${destination}`)
      ? Promise.resolve()
      : new Promise((resolve) => {
          waiting.push(resolve);
          signal.addEventListener("abort", () => resolve());
        });
  return {
    count: () => waiting.length,
    letGo(): void {
      free = true;
      for (const go of waiting.splice(0)) go();
    },
  };
}

describe("a login's single message", () => {
  test("does not wait for another's 5000", async () => {
    const at = hall();
    for (let number = 0; number < 5000; number++) at.put({ login: "user1" });
    const running = at.start();
    await expect.poll(() => at.transport.delivered.length).toBeGreaterThan(50);
    const before = at.transport.delivered.length;
    const single = at.put({ login: "user2" });
    running.wake(single);
    await expect.poll(() => at.envelopes.has(single.id)).toBe(false);
    const place = at.transport.delivered.findIndex(({ id }) => id === single.id);
    expect(place - before).toBeLessThan(2 * patience.concurrency);
  });
});

describe("a destination that hangs", () => {
  const many = { concurrency: 30, destinationConcurrency: 20 };

  test("with 1000 messages holds few places, and all other mail flows", async () => {
    const at = hall(many);
    const held = holdUp(at, "slow.example.net");
    for (let number = 0; number < 1000; number++) at.put(to(`r${number}@slow.example.net`));
    for (let number = 0; number < 300; number++) at.put(to(`r@d${number % 50}.example.org`));
    at.start();
    await expect.poll(() => at.transport.delivered.length).toBe(300);
    expect(held.count()).toBe(5);
    expect(at.transport.delivered.some(({ to: [address] }) => address?.includes("slow"))).toBe(false);
    held.letGo();
    await expect.poll(() => at.envelopes.size).toBe(0);
  });

  test("does not keep a message from its other destinations, each of which is tried once", async () => {
    const at = hall(many);
    const held = holdUp(at, "slow.example.net");
    at.transport.answers = { "b@example.com": "451 4.3.0 later" };
    for (let number = 0; number < 9; number++) at.put(to(`r${number}@slow.example.net`));
    const { id } = at.put(to("a@slow.example.net", "a@example.org", "b@example.com"));
    const running = at.start();
    await expect.poll(() => at.transport.delivered.filter((one) => one.id === id)).toHaveLength(2);
    await expect.poll(() => running.active().has(id)).toBe(false);
    // nothing of it is in memory but where it is still to go
    expect(at.envelopes.get(id)).toMatchObject({
      attempts: 0,
      recipients: [{ state: "waiting" }, { state: "delivered" }, { reply: { text: "later" } }],
    });
    at.clock.turn(1);
    held.letGo();
    await expect.poll(() => at.envelopes.get(id)?.attempts).toBe(1);
    const tried = at.transport.delivered.filter((one) => one.id === id).map((one) => one.to.join());
    expect(tried.toSorted()).toEqual(["a@example.org", "a@slow.example.net", "b@example.com"]);
    at.transport.answers = {};
    at.clock.turn(patience.first);
    await expect.poll(() => at.envelopes.size).toBe(0);
  });

  test("leaves one place to others, however small the settings are", async () => {
    const at = hall({ concurrency: 2, destinationConcurrency: 20 });
    const held = holdUp(at, "slow.example.net");
    for (let number = 0; number < 9; number++) at.put(to(`r${number}@slow.example.net`));
    const other = at.put(to("a@example.org"));
    at.start();
    await expect.poll(() => at.envelopes.has(other.id)).toBe(false);
    expect(held.count()).toBe(1);
    held.letGo();
    await expect.poll(() => at.envelopes.size).toBe(0);
  });
});

describe("a destination whose places are all taken", () => {
  test("has one more for each delivery that lets another use its connection, until that takes it back", async () => {
    const at = hall({ concurrency: 100, destinationConcurrency: 3 });
    const reports: ((activity: DeliveryActivity) => void)[] = [];
    at.transport.before = (_, signal, report) =>
      new Promise((resolve) => {
        reports.push(report);
        signal.addEventListener("abort", () => resolve());
      });
    for (let number = 0; number < 9; number++) at.put();
    at.start();
    const begun = async (): Promise<number> => {
      for (let rest = 0; rest < 20; rest++) await new Promise(setImmediate);
      return reports.length;
    };
    expect(await begun()).toBe(3);
    reports[0]?.("waits");
    expect(await begun()).toBe(3);
    reports[0]?.("yields");
    reports[0]?.("yields");
    expect(await begun()).toBe(4);
    reports[1]?.("yields");
    expect(await begun()).toBe(5);
    reports[0]?.("waits");
    reports[2]?.("yields"); // four connections are in use
    expect(await begun()).toBe(5);
    reports[3]?.("yields");
    expect(await begun()).toBe(6);
  });

  test("keeps those of deliveries whose connection nobody has to wait for", async () => {
    const at = hall({ concurrency: 100, destinationConcurrency: 3 });
    const reports: ReportActivity[] = [];
    at.transport.before = (_, signal, report) =>
      new Promise((resolve) => {
        reports.push(report);
        signal.addEventListener("abort", () => resolve());
      });
    let declined = 0;
    const decline = (): void => void declined++;
    const begun = async (): Promise<number> => {
      for (let rest = 0; rest < 20; rest++) await new Promise(setImmediate);
      return reports.length;
    };
    for (let number = 0; number < 2; number++) at.put();
    const running = at.start();
    expect(await begun()).toBe(2);
    reports[0]?.("yields", decline); // there is another place
    expect(declined).toBe(1);
    for (let number = 0; number < 2; number++) running.wake(at.put());
    expect(await begun()).toBe(3);
    reports[0]?.("yields", decline);
    expect(await begun()).toBe(4);
    expect(declined).toBe(1);
    reports[1]?.("yields", decline); // all are under way
    expect(declined).toBe(2);
    running.wake(at.put());
    expect(await begun()).toBe(4);
    reports[2]?.("yields", decline);
    expect(await begun()).toBe(5);
    expect(declined).toBe(2);
  });
});

describe("1000 destinations that hang", () => {
  const usual = { concurrency: 100, underWay: 2000, destinationConcurrency: 20 };
  const hangs: Readonly<Record<string, readonly DeliveryActivity[]>> = {
    "at the name server, the connection or the greeting": ["talks"],
    "in the middle of the conversation": ["talks", "works", "talks"],
    "after the final dot": ["talks", "works", "talks", "talks", "waits"],
  };

  /** As many messages of user1, one for each, and all their attempts begun that are let. */
  async function crowd(paces: readonly DeliveryActivity[], domains = 1000) {
    const at = hall(usual);
    const hung: (() => void)[] = [];
    at.transport.before = ({ recipients: [first] }, signal, report) => {
      if (!first?.address.endsWith(".example.net")) return Promise.resolve();
      for (const pace of paces) report(pace);
      return new Promise((resolve) => {
        hung.push(resolve);
        signal.addEventListener("abort", () => resolve());
      });
    };
    for (let number = 0; number < domains; number++) at.put(to(`r@d${number}.example.net`));
    const running = at.start();
    await expect.poll(() => running.waiting().messages).toBe(domains);
    return { ...at, running, hung };
  }

  /** Turns the clock by as little as matters, until `found` or for two seconds; gives the milliseconds. */
  async function timeUntil({ clock }: ReturnType<typeof hall>, found: () => boolean): Promise<number> {
    const from = clock.now();
    while (!found() && clock.now() - from < 2000) {
      for (let rest = 0; rest < 20; rest++) await new Promise(setImmediate);
      if (!found()) clock.turn(10);
    }
    return clock.now() - from;
  }

  test.each(Object.entries(hangs))(
    "%s delay the same login's good one by less than a second",
    async (_, paces) => {
      const at = await crowd(paces);
      const good = at.put({ ...to("a@example.org"), due: accepted + 1 }); // behind all others
      at.running.wake(good);
      expect(await timeUntil(at, () => !at.envelopes.has(good.id))).toBeLessThan(1000);
      expect(at.hung.length).toBeGreaterThan(900);
    },
  );

  test("of one login leave room for another's, however many they are", async () => {
    const at = await crowd(["talks"], 3000);
    await timeUntil(at, () => at.hung.length > 1333);
    expect(at.hung).toHaveLength(1334); // two thirds of the room
    const other = at.put({ ...to("a@example.org"), login: "user2" });
    at.running.wake(other);
    expect(await timeUntil(at, () => !at.envelopes.has(other.id))).toBeLessThan(1000);
  });

  test("and then answer, are all delivered, and no place is lost", async () => {
    const at = await crowd(["talks", "waits"]);
    await timeUntil(at, () => at.hung.length === 1000);
    for (const go of at.hung.splice(0)) go();
    await expect.poll(() => at.envelopes.size).toBe(0);
    const again = Array.from({ length: 100 }, (_, number) => at.put(to(`r@e${number}.example.net`)));
    for (const one of again) at.running.wake(one);
    await expect.poll(() => at.hung.length).toBe(100);
  });

  test("are no reason to begin more than may move where the work is our own", async () => {
    const at = await crowd(["talks", "works"]);
    expect(await timeUntil(at, () => at.hung.length > 100)).toBe(2000);
  });
});

describe("a destination that is down", () => {
  const sent = (at: ReturnType<typeof hall>): readonly string[] => at.transport.delivered.map(({ id }) => id);

  /** One message has found it down; three more have come. */
  async function down() {
    const at = hall();
    at.transport.down.add("example.net");
    const running = at.start();
    const first = at.put();
    running.wake(first);
    await expect.poll(() => at.envelopes.get(first.id)?.attempts).toBe(1);
    const others = [at.put(), at.put(), at.put()];
    for (const one of others) running.wake(one);
    await vi.waitFor(
      () =>
        expect(others.map(({ id }) => at.envelopes.get(id)?.recipients[0]?.reply?.text)).toEqual(
          others.map(() => "delivery temporarily suspended: connect to mx: Connection refused"),
        ),
      60_000,
    );
    expect(sent(at)).toEqual([first.id]);
    return { ...at, first, others, running };
  }

  test("costs one message an attempt, and the others none", async () => {
    const at = await down();
    for (const { id } of at.others) {
      expect(at.envelopes.get(id)).toMatchObject({ attempts: 0, due: accepted + minute });
    }
    expect(at.envelopes.get(at.first.id)).toMatchObject({ attempts: 1, due: accepted + patience.first });
    expect(at.lines).toContain(
      "no delivery to example.net for 60 seconds: connect to mx: Connection refused",
    );
  });

  test("is tried with one message when its pause is over, and the others wait on in silence", async () => {
    const at = await down();
    const before = at.lines.length;
    at.clock.turn(minute);
    await expect.poll(() => at.envelopes.get(at.others[0]?.id ?? "")?.attempts).toBe(1);
    expect(sent(at)).toEqual([at.first.id, at.others[0]?.id]);
    expect(at.lines.slice(before)).toEqual([
      expect.stringContaining(`${at.others[0]?.id}: to=<a@example.net>, relay=none`),
      "no delivery to example.net for 120 seconds: connect to mx: Connection refused",
    ]);
  });

  test("gets all that waited as soon as one message was taken", async () => {
    const at = await down();
    at.transport.down.clear();
    at.clock.turn(minute);
    await vi.waitFor(() => expect([...at.envelopes.keys()]).toEqual([at.first.id]), 60_000);
    at.clock.turn(patience.first - minute);
    await expect.poll(() => at.envelopes.size).toBe(0);
    expect(sent(at)).toHaveLength(5);
  });

  test("is tried at once with all that waited when an operator says so", async () => {
    const at = await down();
    at.transport.down.clear();
    at.running.forget("example.org");
    expect(sent(at)).toHaveLength(1);
    at.running.forget("example.net");
    await vi.waitFor(() => expect([...at.envelopes.keys()]).toEqual([at.first.id]), 60_000);
  });

  /** Five messages for it, and as many minutes as it is said, one by one. */
  async function forever(more: Partial<RetryPolicy>, sender: string, minutes: number) {
    const at = hall({ first: minute, longest: 30 * minute, ...more });
    at.spool.draft = () => Promise.reject(Object.assign(new Error("ENOSPC"), { code: "ENOSPC" }));
    at.transport.down.add("example.net");
    for (let number = 0; number < 5; number++) at.put({ sender });
    at.start();
    const all = (): readonly unknown[] =>
      [...at.envelopes.values()].map(({ recipients: [one] }) => one?.reply);
    await vi.waitFor(() => expect(all().every((reply) => reply !== undefined)).toBe(true), 60_000);
    for (let passed = 0; passed < minutes; passed++) {
      at.clock.turn(minute);
      await new Promise(setImmediate);
    }
    return at;
  }

  const troubled = ({ lines }: { lines: readonly string[] }): number =>
    new Set(lines.filter((line) => line.includes("trying again later")).map((line) => line.slice(0, 12)))
      .size;

  test("for long keeps no sender from being warned in time", async () => {
    const warning = { warnAfter: 60 * minute };
    expect(troubled(await forever(warning, "user1@example.org", 59))).toBe(0);
    const at = await forever(warning, "user1@example.org", 60);
    await expect.poll(() => troubled(at)).toBe(5); // no report can be written in this test
  });

  test("for good keeps nothing beyond its lifetime, which is a report's own", async () => {
    const brief = { reportLifetime: 120 * minute, warnAfter: null };
    const at = await forever(brief, "", 119);
    expect(at.envelopes.size).toBe(5);
    at.clock.turn(minute);
    await expect.poll(() => at.envelopes.size).toBe(0);
    expect(at.lines.filter((line) => line.includes("without a sender who could be told"))).toHaveLength(5);
  });

  test("is nobody's trouble after a restart: all are due", async () => {
    const at = await down();
    await scheduler?.drain(0);
    at.transport.down.clear();
    at.clock.turn(minute);
    at.start();
    await vi.waitFor(() => expect([...at.envelopes.keys()]).toEqual([at.first.id]), 60_000);
  });
});

describe("a clock that is set back by an hour", () => {
  /** One message has found a destination down, a second waits with it; then the clock is set. */
  async function setBack() {
    const at = hall();
    at.transport.down.add("example.net");
    const running = at.start();
    const first = at.put();
    running.wake(first);
    await expect.poll(() => at.envelopes.get(first.id)?.attempts).toBe(1);
    at.clock.set(-60 * minute);
    return { ...at, first, running };
  }

  test("prolongs no pause and no delay", async () => {
    const at = await setBack();
    const second = at.put({ accepted: at.clock.now(), due: at.clock.now() });
    at.running.wake(second);
    await expect.poll(() => at.envelopes.get(second.id)?.recipients[0]?.reply).toBeDefined();
    at.transport.down.clear();
    at.clock.turn(minute);
    await expect.poll(() => [...at.envelopes.keys()]).toEqual([at.first.id]);
    at.clock.turn(patience.first);
    await expect.poll(() => at.envelopes.size).toBe(0);
  });

  test("makes due at a start what would wait longer than it was meant to", async () => {
    const at = await setBack();
    await scheduler?.drain(0);
    at.transport.down.clear();
    const fresh = at.put({ due: accepted });
    at.start();
    await expect.poll(() => at.envelopes.size).toBe(0);
    expect(at.transport.delivered.map(({ id }) => id)).toContain(fresh.id);
  });
});

describe("a message that is held", () => {
  test("is known, and neither tried nor warned of nor given up", async () => {
    const at = hall();
    const held = { at: accepted, by: "root", reason: "" };
    const { id } = at.put({ held });
    const running = at.start();
    running.wake(at.put({ held, recipients: [recipient("b@example.net")] }));
    await expect.poll(() => running.waiting()).toEqual({ messages: 2, held: 2, oldest: null });
    at.clock.turn(10 * patience.lifetime);
    await new Promise(setImmediate);
    expect(at.transport.delivered).toEqual([]);
    expect(at.envelopes.get(id)).toMatchObject({ warned: false, recipients: [{ state: "waiting" }] });
  });
});

describe("destinations of one provider", () => {
  test("take turns, whatever waits for one of them, and what must wait is not written anew", async () => {
    const big = { name: "Big", concurrency: 1, messages: 10, pause: minute };
    const all = hall({ destinationConcurrency: 20 });
    const { transport, spool } = all;
    const deliver = transport.deliver.bind(transport);
    let underWay = 0;
    let most = 0;
    transport.deliver = async (message, signal, report, admit) => {
      await Promise.resolve(); // its MX are looked up
      if (admit?.(big) === false) return [];
      underWay += 1;
      most = Math.max(most, underWay);
      const outcomes = await deliver(message, signal, report);
      underWay -= 1;
      return outcomes;
    };
    const record = vi.spyOn(spool, "record");
    for (let count = 0; count < 30; count++) all.put(to("x@many.example"));
    for (const domain of ["one", "two", "three"]) all.put(to(`x@${domain}.example`));
    all.start();
    await vi.waitFor(() => expect(transport.delivered).toHaveLength(33), 60_000);
    const order = transport.delivered.map(({ to: [address] }) => address);
    expect(most).toBe(1);
    expect(
      Math.max(...["one", "two", "three"].map((name) => order.indexOf(`x@${name}.example`))),
    ).toBeLessThan(10);
    expect(record).not.toHaveBeenCalled();
  });
});
