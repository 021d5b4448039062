/** Messages in memory: what is kept, and that all of it is counted. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { keptMessage } from "../../../src/server/submission/client-limits.ts";
import { KeptOctets, newMessageMemory } from "../../../src/server/submission/message-memory.ts";

test("the pieces of a message are kept in their order, however long each is", () => {
  const length = fc.oneof(fc.integer({ min: 0, max: 20 }), fc.integer({ min: 900, max: 9_000 }));
  fc.assert(
    fc.property(fc.array(length, { maxLength: 60 }), fc.nat({ max: 255 }), (lengths, first) => {
      const kept = new KeptOctets(newMessageMemory(() => keptMessage));
      const pieces = lengths.map((octets, index) => Buffer.alloc(octets, (first + index) % 256));
      for (const piece of pieces) expect(kept.add(piece)).toBe(true);
      expect(Buffer.concat(kept.parts()).equals(Buffer.concat(pieces))).toBe(true);
    }),
  );
});

test("a message beyond its bound is not kept, and neither is one beyond what all may take", () => {
  const memory = newMessageMemory(() => keptMessage + 100);
  const [large, small] = [new KeptOctets(memory), new KeptOctets(memory)];
  expect(large.add(Buffer.alloc(keptMessage))).toBe(true);
  expect(large.add(Buffer.alloc(1))).toBe(false);
  expect(small.add(Buffer.alloc(101))).toBe(false);
  expect(small.add(Buffer.alloc(100))).toBe(true);
  large.drop();
  large.drop();
  small.drop();
  expect(memory.take(keptMessage + 100)).toBe(true);
  expect(memory.take(1)).toBe(false);
});

test("a small piece of a large buffer does not keep all of it", () => {
  const kept = new KeptOctets(newMessageMemory(() => keptMessage));
  for (let count = 0; count < 8; count++) kept.add(Buffer.alloc(65_536).subarray(0, 2_000));
  const held = new Set(kept.parts().map(({ buffer }) => buffer));
  expect([...held].reduce((sum, { byteLength }) => sum + byteLength, 0)).toBeLessThanOrEqual(4 * 16_000);
});
