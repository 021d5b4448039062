import { afterEach, describe, expect, test, vi } from "vitest";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { possibleCopies } from "../../../src/server/spool/history.ts";
import { accepted, recipient } from "../delivery/fixtures.ts";
import { logged, openTestScheduler, patience, put, type TestScheduler } from "./test-scheduler.ts";

const minute = 60_000;

let setup: TestScheduler | undefined;

afterEach(async () => {
  await setup?.close();
  setup = undefined;
});

async function open(...args: Parameters<typeof openTestScheduler>): Promise<TestScheduler> {
  setup = await openTestScheduler(...args);
  return setup;
}

describe("a message", () => {
  test("is delivered, told in the log and removed", async () => {
    const at = await open();
    const { id } = await at.submit();
    await logged(at, `${id}: removed`);
    expect(at.lines).toEqual([
      `${id}: to=<a@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=0, delays=0/0/0/0, dsn=2.0.0, status=sent (250 2.0.0 ok)`,
      `${id}: removed`,
    ]);
    expect(await at.spool.ids()).toEqual([]);
    expect(at.scheduler.waiting()).toEqual({ messages: 0, held: 0, oldest: null });
  });

  test("is tried again with growing delays after temporary failures", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const { id } = await at.submit();
    const minute = 60_000;
    for (const [tries, delay] of [5, 10, 20, 40].entries()) {
      await vi.waitFor(
        async () => expect(await at.spool.read(id)).toMatchObject({ attempts: tries + 1 }),
        5000,
      );
      expect(await at.spool.read(id)).toMatchObject({ due: at.clock.now() + delay * minute });
      at.clock.turn(delay * minute);
    }
    expect(at.scheduler.waiting()).toEqual({ messages: 1, held: 0, oldest: accepted });
    await vi.waitFor(async () => expect(await at.spool.read(id)).toMatchObject({ attempts: 5 }), 60_000);
    at.transport.answers = {};
    at.clock.turn(80 * minute);
    await logged(at, `${id}: removed`);
    expect(at.transport.delivered).toHaveLength(6);
  });

  test("comes back to its sender when it is refused, in a report without a sender of its own", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "550 5.1.1 no such user" };
    const { id } = await at.submit();
    await logged(at, /removed[\s\S]*removed/);
    const [, report] = at.transport.delivered;
    expect(report).toMatchObject({ to: ["user1@example.org"] });
    expect(report?.text).toContain(
      "Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\nStatus: 5.1.1\r\n",
    );
    expect(at.lines).toContain(`${id}: sender non-delivery notification: ${report?.id}`);
    expect(at.lines).toContain(`${report?.id}: from=<>, size=${report?.text.length}, nrcpt=1 (queue active)`);
    expect(await at.spool.ids()).toEqual([]);
  });

  test("expires, and its sender is told, once late and once that we gave up", async () => {
    const at = await open();
    at.transport.answers = { "a@example.net": "451 4.3.0 later" };
    const { id } = await at.submit({ recipients: [recipient("a@example.net")] });
    for (let turns = 0; turns < 60; turns++) {
      const due = await vi.waitFor(async () => {
        const read = await at.spool.read(id);
        if ("damaged" in read) return undefined;
        expect(read.due).toBeGreaterThan(at.clock.now());
        return read.due;
      }, 60_000);
      if (due === undefined) break;
      at.clock.turn(due - at.clock.now());
    }
    await logged(at, `${id}: removed`);
    expect(at.clock.now()).toBe(accepted + patience.lifetime);
    expect(at.lines.filter((line) => line.startsWith(`${id}: sender`))).toEqual([
      expect.stringContaining("sender delay notification"),
      expect.stringContaining("sender non-delivery notification"),
    ]);
    expect(at.lines).toContain(`${id}: from=<user1@example.org>, status=expired, returned to sender`);
  });
});

describe("a refused message", () => {
  test.each([
    { whose: "report", more: { sender: "" } },
    {
      whose: "sender who wants to hear nothing",
      more: { recipients: [recipient("a@example.net", { notify: ["NEVER" as const] })] },
    },
  ])("of a $whose is told nobody", async ({ more }) => {
    const at = await open();
    at.transport.answers = { "a@example.net": "550 5.1.1 no such user" };
    const { id } = await at.submit(more);
    await logged(at, `${id}: removed`);
    expect(await at.spool.ids()).toEqual([]);
    expect(at.transport.delivered).toHaveLength(1);
  });
});

describe("a message to several destinations", () => {
  const recipients = ["a@example.net", "b@example.org", "c@example.net"].map((address) => recipient(address));

  test("goes to each once, with all recipients of one in one transaction", async () => {
    const at = await open();
    const { id } = await at.submit({ recipients });
    await logged(at, `${id}: removed`);
    expect(at.transport.delivered.map(({ to }) => to.join()).toSorted()).toEqual([
      "a@example.net,c@example.net",
      "b@example.org",
    ]);
  });

  test("is recorded for one while another is still being tried", async () => {
    const at = await open();
    const answers: (() => void)[] = [];
    at.transport.before = ({ recipients: [first] }) =>
      first?.address === "b@example.org"
        ? new Promise((resolve) => answers.push(resolve))
        : Promise.resolve();
    const { id } = await at.submit({ recipients });
    await vi.waitFor(
      async () =>
        expect(await at.spool.read(id)).toMatchObject({
          recipients: [{ state: "delivered" }, { state: "waiting" }, { state: "delivered" }],
        }),
      5000,
    );
    for (const answer of answers) answer();
    await logged(at, `${id}: removed`);
  });

  test("is tried again only where it was deferred, and all refusals come back in one report", async () => {
    const at = await open();
    at.transport.answers = {
      "a@example.net": "550 5.1.1 no such user",
      "b@example.org": "550 5.7.1 no",
      "c@example.net": "451 4.3.0 later",
    };
    const { id } = await at.submit({ recipients });
    await vi.waitFor(async () => expect(await at.spool.read(id)).toMatchObject({ attempts: 1 }), 60_000);
    at.transport.answers = {};
    at.clock.turn(patience.first);
    await logged(at, `${id}: removed`);
    const [, , report] = at.transport.delivered;
    expect(report?.to).toEqual(["user1@example.org"]);
    expect(report?.text.match(/^Final-Recipient: .*/gm)).toEqual([
      "Final-Recipient: rfc822; a@example.net",
      "Final-Recipient: rfc822; b@example.org",
    ]);
    const tried = at.transport.delivered.filter((one) => one.id === id).map(({ to }) => to.join());
    expect(tried.toSorted()).toEqual(["a@example.net,c@example.net", "b@example.org", "c@example.net"]);
  });
});

describe("a next hop that has the whole message and breaks off", () => {
  const broken = "lost connection with mx.example.net[192.0.2.1] while sending end of data";
  async function breaking(): Promise<TestScheduler> {
    const at = await open();
    at.transport.down.add("example.net");
    at.transport.trouble = `${broken} -- message may be sent more than once`;
    return at;
  }

  test("has none of what only waits for it", async () => {
    const at = await breaking();
    const { id } = await at.submit();
    await logged(at, `${id}: to=<a@example.net>`);
    const second = await at.submit();
    await logged(at, `${second.id}: to=<a@example.net>`);
    expect(await at.spool.read(second.id)).toMatchObject({
      recipients: [{ reply: { text: `delivery temporarily suspended: ${broken}` } }],
    });
    expect(possibleCopies(await at.spool.history(id), "a@example.net")).toBe(1);
    expect(possibleCopies(await at.spool.history(second.id), "a@example.net")).toBe(0);
  });

  test("may have a copy of each attempt: the report of delay counts them", async () => {
    const at = await breaking();
    const { id } = await at.submit();
    await vi.waitFor(async () => expect(await at.spool.read(id)).toMatchObject({ attempts: 1 }), 60_000);
    at.clock.turn(patience.first);
    await vi.waitFor(async () => expect(await at.spool.read(id)).toMatchObject({ attempts: 2 }), 60_000);
    at.clock.turn(240 * 60_000);
    await logged(at, `${id}: sender delay notification`);
    await vi.waitFor(
      () => expect(at.transport.delivered.some(({ text }) => text.includes(id))).toBe(true),
      60_000,
    );
    const report = at.transport.delivered.find(({ text }) => text.includes(`X-Queue-ID: ${id}`));
    expect(report?.text).toMatch(/^X-Possible-Copies: 3\r$/m);
    expect(report?.text).toContain("had the whole message 3 times");
  });

  test("is not a host whose own words say the same", () => {
    const reply = { code: 451, status: "4.0.0", relay: "none", command: "", at: 0 };
    const noted = (text: string) => ({ ...reply, recipient: "a@example.net", text });
    const words = "message may be sent more than once";
    const history = [
      noted(`host mx refused to talk to me: ${words}`),
      noted(`delivery temporarily suspended: lost connection with mx -- ${words}`),
    ];
    expect(possibleCopies(history, "a@example.net")).toBe(0);
  });
});

describe("a sender who asked for it", () => {
  test("hears that the message was handed over", async () => {
    const at = await open();
    const { id } = await at.submit({
      envid: "E1",
      recipients: [recipient("a@example.net", { notify: ["SUCCESS"] })],
    });
    await logged(at, `${id}: removed`);
    await vi.waitFor(() => expect(at.transport.delivered).toHaveLength(2), 60_000);
    expect(at.transport.delivered[1]?.text).toMatch(
      /Original-Envelope-Id: E1\r\n[\s\S]*Action: relayed\r\nStatus: 2.0.0\r\n/,
    );
    expect(at.lines).toContain(
      `${id}: sender delivery status notification: ${at.transport.delivered[1]?.id}`,
    );
  });
});

describe("many messages", () => {
  test("are delivered so many at a time, each login in turn", async () => {
    const at = await open();
    const atOnce = patience.concurrency - 1; // one place stays for other destinations
    let [underWay, most] = [0, 0];
    let all = (): void => undefined;
    const full = new Promise<void>((resolve) => {
      all = resolve;
    });
    at.transport.before = async () => {
      most = Math.max(most, ++underWay);
      if (underWay === atOnce) all();
      await full;
      underWay--;
    };
    const logins = [...Array<string>(30).fill("user1"), "user2"];
    const envelopes: Envelope[] = [];
    for (const login of logins) envelopes.push(await put(at.spool, { login }));
    for (const one of envelopes) at.scheduler.wake(one);
    await vi.waitFor(async () => expect(await at.spool.ids()).toEqual([]), 60_000);
    expect(most).toBe(atOnce);
    const single = at.transport.delivered.findIndex(({ id }) => id === envelopes.at(-1)?.id);
    expect(single).toBeLessThan(2 * patience.concurrency);
  });

  test("to a host that is down cost one attempt, and the others wait", async () => {
    const at = await open();
    at.transport.down.add("example.net");
    const first = await at.submit();
    await logged(at, `${first.id}: to=<a@example.net>`);
    const second = await at.submit();
    const third = await at.submit({ recipients: [recipient("b@example.org")] });
    await logged(at, `${third.id}: removed`);
    await logged(
      at,
      `${second.id}: to=<a@example.net>, relay=none, delay=0, delays=0/0/0/0, dsn=4.4.1, status=deferred (delivery temporarily suspended: connect to mx: Connection refused)`,
    );
    expect(at.transport.delivered.map(({ id }) => id)).toEqual([first.id, third.id]);
  });
});

describe("the envelope of a new message", () => {
  /** The scheduler, and what it knew of each envelope when it asked for the message. */
  async function watched(): Promise<{ at: TestScheduler; known: (Envelope | undefined)[] }> {
    const known: (Envelope | undefined)[] = [];
    const at = await open((spool) => ({
      ...spool,
      load(id, most, envelope) {
        known.push(envelope);
        return spool.load(id, most, envelope);
      },
    }));
    return { at, known };
  }

  test("is not read again for its first delivery, and is for the next", async () => {
    const { at, known } = await watched();
    at.transport.answers = { "a@example.net": "451 4.2.0 later" };
    const { id } = await at.submit();
    await logged(at, "status=deferred");
    await vi.waitFor(() => expect(at.clock.alarms()).toBe(1), 60_000);
    at.transport.answers = {};
    at.clock.turn(patience.first);
    await logged(at, `${id}: removed`);
    expect(known).toEqual([expect.objectContaining({ id, attempts: 0 }), undefined]);
  });

  test("is the one that an operator has made of it", async () => {
    const { at, known } = await watched();
    const { id, due } = await at.submit({ due: at.clock.now() + minute });
    await at.scheduler.change(id, async (envelope) => {
      const next = { ...envelope, relay: "smtp://relay.example.org" };
      await at.spool.record(next);
      return next;
    });
    at.clock.turn(due - at.clock.now());
    await logged(at, `${id}: removed`);
    expect(known).toEqual([undefined, expect.objectContaining({ id, relay: "smtp://relay.example.org" })]);
  });

  test("is read where there are too many of them", async () => {
    const { at, known } = await watched();
    const recipients = Array.from({ length: 1500 }, (_, number) => recipient(`r${number}@example.net`));
    const due = at.clock.now() + minute;
    for (const _ of [1, 2]) await at.submit({ recipients, due });
    at.clock.turn(minute);
    await logged(at, /removed\n(.*\n)*.*removed/);
    expect(known.map((envelope) => envelope !== undefined)).toEqual([true, false]);
  });
});
