/** Frames and answers of the milter protocol, whatever octets come. */
import fc from "fast-check";
import { expect, test } from "vitest";
import { readAnswer } from "../../../../src/server/submission/milter/answers.ts";
import {
  encodeFrame,
  encodeText,
  FrameReader,
  MilterTrouble,
} from "../../../../src/server/submission/milter/frames.ts";
import { changeHeader } from "../../../../src/server/submission/milter/header-changes.ts";
import { readTerms } from "../../../../src/server/submission/milter/terms.ts";
import { splitFields } from "../../../../src/smtp/header.ts";
import { frame, number } from "./fake.ts";

const anything = readTerms({ command: "O", data: Buffer.concat([number(6), number(0x1ff), number(0)]) });

function framesIn(octets: Buffer, sizes: readonly number[]): readonly string[] {
  const reader = new FrameReader();
  const found: string[] = [];
  let at = 0;
  for (const size of [...sizes, octets.length]) {
    for (const { command, data } of reader.read(octets.subarray(at, at + size)))
      found.push(`${command} ${data.toString("latin1")}`);
    at += size;
  }
  return found;
}

test("frames are found in whatever pieces they come", () => {
  const some = fc.array(fc.tuple(fc.constantFrom("a", "h", "y"), fc.string({ maxLength: 300 })));
  const cuts = fc.array(fc.integer({ min: 1, max: 40 }));
  fc.assert(
    fc.property(some, cuts, (frames, sizes) => {
      const octets = Buffer.concat(frames.map(([command, text]) => encodeFrame(command, encodeText(text))));
      const texts = frames.map(([command, text]) => `${command} ${encodeText(text).toString("latin1")}`);
      expect(framesIn(octets, sizes)).toEqual(texts);
    }),
  );
});

test("a frame that comes octet by octet costs no more than its length", () => {
  const octets = frame("b", Buffer.alloc(130_000, "x"));
  const begun = performance.now();
  expect(
    framesIn(
      octets,
      Array.from({ length: octets.length }, () => 1),
    ),
  ).toHaveLength(1);
  expect(performance.now() - begun).toBeLessThan(5_000);
});

test("no octets are anything but an answer or trouble, and none of it can be two fields", () => {
  const command = fc.constantFrom(..."acdfhimnpqrsty4+-2beOD\0".split(""));
  const field = splitFields("From: a@example.org\r\n");
  fc.assert(
    fc.property(command, fc.uint8Array({ maxLength: 60 }), (letter, data) => {
      try {
        const said = readAnswer({ command: letter, data: Buffer.from(data) }, anything);
        if (!("change" in said) || !("value" in said.change)) return;
        const header = changeHeader(field, [said.change])
          .map(({ raw }) => raw)
          .join("");
        expect(splitFields(header).length).toBeLessThanOrEqual(2);
        expect(header).toMatch(/^(?:[!-9;-~]+:[^\r\n\0]*\r\n(?:[ \t][^\r\n\0]*\r\n)*)*$/);
      } catch (error) {
        if (!(error instanceof MilterTrouble)) throw error;
      }
    }),
    { numRuns: 5_000 },
  );
});
