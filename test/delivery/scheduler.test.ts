import { afterEach, describe, expect, test, vi } from "vitest";
import { accepted, recipient } from "./letters.ts";
import { type Office, openOffice, patience } from "./office.ts";

let office: Office | undefined;

afterEach(async () => {
  await office?.close();
  office = undefined;
});

async function open(...args: Parameters<typeof openOffice>): Promise<Office> {
  office = await openOffice(...args);
  return office;
}

/** Waits until the log has a line with `words`. */
function logged({ lines }: Office, words: string | RegExp): Promise<void> {
  return vi.waitFor(() => expect(lines.join("\n")).toMatch(words), 5000);
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
    expect(at.scheduler.waiting()).toEqual({ messages: 0, oldest: null });
  });

  test("is tried again with growing delays after temporary failures", async () => {
    const at = await open();
    at.carrier.answers = { "a@example.net": "451 4.3.0 later" };
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
    expect(at.scheduler.waiting()).toEqual({ messages: 1, oldest: accepted });
    await vi.waitFor(async () => expect(await at.spool.read(id)).toMatchObject({ attempts: 5 }), 5000);
    at.carrier.answers = {};
    at.clock.turn(80 * minute);
    await logged(at, `${id}: removed`);
    expect(at.carrier.carried).toHaveLength(6);
  });

  test("comes back to its sender when it is refused, in a report without a sender of its own", async () => {
    const at = await open();
    at.carrier.answers = { "a@example.net": "550 5.1.1 no such user" };
    const { id } = await at.submit();
    await logged(at, /removed[\s\S]*removed/);
    const [, report] = at.carrier.carried;
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
    at.carrier.answers = { "a@example.net": "451 4.3.0 later" };
    const { id } = await at.submit({ recipients: [recipient("a@example.net")] });
    for (let turns = 0; turns < 60; turns++) {
      const due = await vi.waitFor(async () => {
        const read = await at.spool.read(id);
        if ("damaged" in read) return undefined;
        expect(read.due).toBeGreaterThan(at.clock.now());
        return read.due;
      }, 5000);
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
