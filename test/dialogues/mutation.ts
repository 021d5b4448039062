/** The conversations of this folder with octets changed, lost, doubled and mixed. */
import fc from "fast-check";
import { spoken } from "./spoken.ts";

interface Change {
  readonly at: number;
  readonly drop: number;
  readonly put: Buffer;
}

const octets = fc.oneof(
  fc.uint8Array({ maxLength: 6 }).map((array) => Buffer.from(array)),
  fc
    .constantFrom("\r\n", "\n", "\r", ".\r\n", "\r\n.\r\n", "\0", "<>", "DATA\r\n", "RSET\r\n", "é")
    .map((text) => Buffer.from(text)),
);

const change: fc.Arbitrary<Change> = fc.record({
  at: fc.nat({ max: 4_000 }),
  drop: fc.constantFrom(0, 0, 1, 2, 20),
  put: octets,
});

function changed(script: Buffer, { at, drop, put }: Change): Buffer {
  const place = script.length === 0 ? 0 : at % script.length;
  return Buffer.concat([script.subarray(0, place), put, script.subarray(place + drop)]);
}

const login = `EHLO client.example\r\nAUTH PLAIN ${Buffer.from("\0user1\0secret").toString("base64")}\r\n`;

/** What a client sends, from after the greeting to its end. */
export const conversation: fc.Arbitrary<Buffer> = fc
  .record({
    parts: fc.array(fc.constantFrom(...spoken), { minLength: 1, maxLength: 3 }),
    changes: fc.array(change, { maxLength: 6 }),
    known: fc.boolean(),
  })
  .map(({ parts, changes, known }) =>
    Buffer.concat([
      Buffer.from(known ? login : ""),
      changes.reduce(changed, Buffer.concat(parts)),
      Buffer.from("\r\n.\r\nQUIT\r\n"),
    ]),
  );
