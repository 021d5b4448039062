/**
 * The pieces in which a client's octets come are the network's doing: the same octets get the same replies and become the
 * same messages, however they are cut, and whether a message is in memory until it is whole or goes to the spool as it comes.
 */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { conversation } from "../../dialogues/mutation.ts";
import { connect } from "./client.ts";
import { openTestListener, type Stored, testTimeouts } from "./test-listener.ts";

interface Outcome {
  readonly replies: readonly string[];
  readonly stored: readonly Stored[];
}

const time = Date.UTC(2026, 10, 22, 13, 2, 46);

/** What becomes of `octets`, sent in `pieces` of these lengths and then in one. */
async function outcome(
  octets: Buffer,
  pieces: readonly number[],
  room: number,
  lineEnds: "refuse" | "repair",
): Promise<Outcome> {
  let held = 0;
  const memory = {
    take: (octets: number) => {
      if (octets <= room) held += octets;
      return octets <= room;
    },
    give: (octets: number) => {
      held -= octets;
    },
  };
  const server = await openTestListener("smtps", {
    timeouts: { ...testTimeouts, wrongPassword: 0 },
    now: () => time,
    memory,
    lineEnds,
  });
  const client = await connect(server.port, true);
  const replies: string[] = [];
  const greeting = await client.line();
  const reading = (async () => {
    for (let line = await client.line(); line !== undefined; line = await client.line()) replies.push(line);
  })();
  let at = 0;
  for (const length of [...pieces, octets.length]) {
    await client.send(octets.subarray(at, at + length));
    at += length;
  }
  client.end();
  await reading;
  client.destroy();
  await vi.waitFor(() => expect([server.listener.sessions(), server.openDrafts()]).toEqual([0, 0]), 60_000);
  await server.close();
  expect(greeting).toMatch(/^220 /);
  expect(held).toBe(0);
  expect(server.log.filter(({ event }) => event === "bug")).toEqual([]);
  return { replies, stored: server.stored };
}

test("the same octets get the same replies in whatever pieces they come", { timeout: 240_000 }, async () => {
  const runs = Number(process.env["TPA_SUBMIT_FUZZ_RUNS"] ?? 40);
  const lengths = fc.array(fc.oneof(fc.integer({ min: 1, max: 5 }), fc.integer({ min: 1, max: 3_000 })), {
    maxLength: 80,
  });
  await fc.assert(
    fc.asyncProperty(
      conversation,
      lengths,
      fc.constantFrom("refuse", "repair"),
      async (octets, pieces, lineEnds) => {
        const whole = await outcome(octets, [], Number.POSITIVE_INFINITY, lineEnds);
        expect(await outcome(octets, pieces, Number.POSITIVE_INFINITY, lineEnds)).toEqual(whole);
        expect(await outcome(octets, pieces, 0, lineEnds)).toEqual(whole);
      },
    ),
    { numRuns: runs },
  );
});
