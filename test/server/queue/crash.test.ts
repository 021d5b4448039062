/** The process dies between any two steps of the spool, and another one takes over. */
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { startScheduler } from "../../../src/server/queue/scheduler.ts";
import { openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { accepted, recipient } from "../delivery/fixtures.ts";
import { fakeTransport, patience, put, turnableClock } from "./test-scheduler.ts";

let folder = "";

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-crash-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** What the dead do: nothing more, ever. */
const never = new Promise<never>(() => undefined);

/**
 * A spool whose process dies at its `last` step, before the step is taken or right after; `dead` tells that
 * it has.
 */
function mortal(
  spool: Spool,
  last: number,
  after: boolean,
): { readonly spool: Spool; readonly dead: () => boolean } {
  let steps = 0;
  async function take<Result>(step: () => Promise<Result>): Promise<Result> {
    steps++;
    if (steps > last || (steps === last && !after)) return never;
    const result = await step();
    return steps >= last ? never : result;
  }
  return {
    dead: () => steps >= last,
    spool: {
      ...spool,
      record: (envelope) => take(() => spool.record(envelope)),
      remove: (id) => take(() => spool.remove(id)),
      draft: async () => {
        const draft = await spool.draft();
        return {
          ...draft,
          id: draft.id,
          write: (chunk) => draft.write(chunk),
          accept: (envelope) => take(() => draft.accept(envelope)),
          discard: () => draft.discard(),
        };
      },
    },
  };
}

const settings = { segment: 65_536, largest: 10_000 };

describe.each([
  { moment: "before", after: false, where: "files", journal: undefined },
  { moment: "after", after: true, where: "files", journal: undefined },
  { moment: "before", after: false, where: "the journal", journal: settings },
  { moment: "after", after: true, where: "the journal", journal: settings },
])("a crash $moment a step, of messages in $where,", ({ after, journal }) => {
  // Three destinations: recorded twice on the way, then a report, a record, the next turn, two removals.
  test.each([1, 2, 3, 4, 5, 6, 7])(
    "at step %i loses nothing, and repeats at most what it interrupted",
    async (last) => {
      const clock = turnableClock(accepted);
      const transport = fakeTransport(clock.now);
      transport.answers = {
        "bad@example.org": "550 5.1.1 no such user",
        "late@example.com": "451 4.3.0 later",
      };
      const setup = { transport, hostname: "submission.example.org" };

      const first = await openSpool(join(folder, "spool"), clock.now, undefined, journal);
      const recipients = ["good@example.net", "bad@example.org", "late@example.com"].map((to) =>
        recipient(to),
      );
      await put(first, { recipients });
      const { spool, dead } = mortal(first, last, after);
      startScheduler({ ...setup, spool }, patience, clock);
      await vi.waitFor(async () => {
        if (!dead() && clock.alarms() > 0) {
          transport.answers = { "bad@example.org": "550 5.1.1 no such user" };
          clock.turn(patience.first);
        }
        expect(dead() || (await first.ids()).length === 0).toBe(true);
      }, 60_000);
      await new Promise(setImmediate);
      await first.close(); // the kernel does it for the dead

      transport.answers = { "bad@example.org": "550 5.1.1 no such user" };
      const second = await openSpool(join(folder, "spool"), clock.now, undefined, journal);
      const scheduler = startScheduler({ ...setup, spool: second }, patience, clock);
      await vi.waitFor(async () => {
        clock.turn(patience.first);
        expect(await second.ids()).toEqual([]);
      }, 60_000);
      await scheduler.drain(0);
      await second.close();

      const told = transport.delivered.filter(({ text }) =>
        text.includes("Final-Recipient: rfc822; bad@example.org"),
      );
      const delivered = transport.delivered.flatMap(({ to }) => to).filter((to) => to === "good@example.net");
      expect([1, 2]).toContain(new Set(told.map(({ id }) => id)).size);
      expect(
        Math.max(...told.map(({ id }) => told.filter((one) => one.id === id).length)),
      ).toBeLessThanOrEqual(2);
      expect([1, 2]).toContain(delivered.length);
      expect(transport.delivered.flatMap(({ to }) => to)).toContain("late@example.com");
    },
  );
});
