/** What waits is counted while it comes and goes, and not anew at each question. */
import fc from "fast-check";
import { expect, it } from "vitest";
import { newQueue } from "../../../src/server/queue/queue.ts";
import { envelope } from "../delivery/fixtures.ts";
import { paperSpool } from "./memory-spool.ts";

const held = { at: 0, by: "root", reason: "" };
const step = fc.record({
  id: fc.constantFrom("A00000000001", "A00000000002", "A00000000003", "A00000000004"),
  act: fc.constantFrom("enter", "hold", "put", "leave"),
  accepted: fc.integer({ min: 1, max: 5 }),
  isAsked: fc.boolean(),
});

it("counts what waits, whatever comes, changes and goes", () => {
  fc.assert(
    fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
      const queue = newQueue(
        paperSpool().spool,
        ({ id }) => (id.endsWith("1") ? ["example.net", "example.com"] : ["example.net"]),
        () => 0,
      );
      const there = new Map<string, { readonly accepted: number; readonly held: boolean }>();
      for (const { id, act, accepted, isAsked } of steps) {
        const known = queue.get(id);
        if (known) queue.timers.remove(known);
        if (act === "leave") {
          queue.leave(id);
          there.delete(id);
        } else if (act === "put" && known) queue.put({ ...known, due: 7 });
        else {
          queue.enter(envelope({ id, accepted, ...(act === "hold" && { held }) }));
          there.set(id, { accepted, held: act === "hold" });
        }
        const free = [...there.values()].filter((one) => !one.held).map((one) => one.accepted);
        const expected = {
          messages: there.size,
          held: there.size - free.length,
          oldest: free.length === 0 ? null : Math.min(...free),
        };
        if (isAsked) expect(queue.waiting()).toEqual(expected);
      }
    }),
  );
});
