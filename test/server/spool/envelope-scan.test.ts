/** The shortcut to many envelopes: whatever the text is, it finds what the reader finds. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import {
  formatEnvelope,
  formatEnvelopeLine,
  parseEnvelope,
} from "../../../src/server/spool/envelope-file.ts";
import { scanEnvelope } from "../../../src/server/spool/envelope-scan.ts";

const id = "1A0AB1C2D3E4";
const file = `/spool/queue/${id}`;
const moment = Date.parse("2026-11-29T14:11:00.000Z");

const word = fc.oneof(
  fc.constantFrom(
    "",
    "user1@example.org",
    "Greylisted",
    "zoë@example.net",
    'a"b',
    "a\\b",
    "\n",
    "\u007f",
    "😀",
  ),
  fc.string({ unit: "binary" }),
);
const envelope: fc.Arbitrary<Envelope> = fc.record(
  {
    id: fc.constant(id),
    accepted: fc.constantFrom(moment, moment + 86_400_000, 0, -1, 8.64e15),
    login: fc.option(word),
    sender: word,
    size: fc.constantFrom(0, 7, 5_120, Number.MAX_SAFE_INTEGER),
    eightBit: fc.boolean(),
    smtputf8: fc.boolean(),
    envid: word,
    held: fc.record({ at: fc.constant(moment), by: word, reason: word }),
    attempts: fc.nat(),
    due: fc.constant(moment),
    warned: fc.boolean(),
    recipients: fc.array(
      fc.record(
        {
          address: word,
          state: fc.constantFrom("waiting", "delivered", "failed", "expired"),
          reply: fc.record({
            code: fc.constantFrom(200, 451, 599),
            status: word,
            text: word,
            relay: word,
            command: word,
            at: fc.constant(moment),
          }),
          orcpt: word,
        },
        { requiredKeys: ["address", "state"] },
      ),
      { minLength: 1, maxLength: 3 },
    ),
  },
  {
    requiredKeys: [
      "id",
      "accepted",
      "login",
      "sender",
      "size",
      "eightBit",
      "smtputf8",
      "attempts",
      "due",
      "warned",
      "recipients",
    ],
  },
);

const asRead = (text: string): void => {
  expect(scanEnvelope(text, id, file)).toEqual(parseEnvelope(text, id, file));
};

describe("the shortcut", () => {
  it("reads what is written, in a file and in the journal", () => {
    fc.assert(
      fc.property(envelope, (one) => {
        for (const text of [formatEnvelope(one), formatEnvelopeLine(one)]) {
          asRead(text);
          expect(scanEnvelope(text, id, file)).toEqual(one);
        }
      }),
    );
  });

  it("finds the same fault in what was changed by hand", () => {
    const piece = fc.constantFrom(
      "",
      '"',
      "\\",
      "\n",
      " ",
      "0",
      "00",
      "-",
      ".5",
      "e3",
      "null",
      "true",
      ",",
      "}",
      "]",
      '"x":1,',
      "\u0001",
    );
    fc.assert(
      fc.property(
        envelope,
        fc.boolean(),
        fc.nat(),
        fc.nat({ max: 4 }),
        piece,
        (one, inFile, place, length, put) => {
          const text = inFile ? formatEnvelope(one) : formatEnvelopeLine(one);
          const at = place % (text.length + 1);
          asRead(text.slice(0, at) + put + text.slice(at + length));
        },
      ),
      { numRuns: 3_000 },
    );
  });

  it("takes another's envelope, an older one and none at all for what they are", () => {
    const [one] = fc.sample(envelope, 1);
    if (one === undefined) throw new Error("no sample");
    asRead(formatEnvelope({ ...one, id: "1A0AB1C2D3E5" }));
    asRead(formatEnvelope(one).replace('"version": 2', '"version": 1'));
    asRead(formatEnvelope(one).replace("451", "199"));
    for (const text of ["", "{", "{}", "null", "[]", "{\n", '{"version":2,']) asRead(text);
  });
});
