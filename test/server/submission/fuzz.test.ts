/** The conversations of test/dialogues with octets changed, lost, doubled and mixed: no crash, no hang, nothing left behind. */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { spoken } from "../../dialogues/spoken.ts";
import { type Client, connect } from "./client.ts";
import { openTestListener, testTimeouts } from "./test-listener.ts";

const login = `EHLO client.example\r\nAUTH PLAIN ${Buffer.from("\0user1\0secret").toString("base64")}\r\n`;

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

const conversation = fc.record({
  parts: fc.array(fc.constantFrom(...spoken), { minLength: 1, maxLength: 3 }),
  changes: fc.array(change, { maxLength: 6 }),
  known: fc.boolean(),
  piece: fc.integer({ min: 1, max: 5_000 }),
});

test("whatever comes, every reply is one, the log stays clean and no draft is left", {
  timeout: 120_000,
}, async () => {
  const server = await openTestListener("smtps", { timeouts: { ...testTimeouts, wrongPassword: 0 } });
  const runs = Number(process.env["TPA_SUBMIT_FUZZ_RUNS"] ?? 60);
  await fc.assert(
    fc.asyncProperty(conversation, async ({ parts, changes, known, piece }) => {
      const script = Buffer.concat([
        Buffer.from(known ? login : ""),
        changes.reduce(changed, Buffer.concat(parts)),
        Buffer.from("\r\n.\r\nQUIT\r\n"),
      ]);
      const client = await connect(server.port, true);
      const reading = replies(client);
      for (let at = 0; at < script.length; at += piece) await client.send(script.subarray(at, at + piece));
      client.end();
      for (const line of await reading) expect(line).toMatch(/^[2345]\d\d(?:[ -][^\r\n\0]*)?$/);
      client.destroy();
      await vi.waitFor(
        () => expect([server.listener.sessions(), server.openDrafts()]).toEqual([0, 0]),
        60_000,
      );
    }),
    { numRuns: runs },
  );
  expect(server.log.filter(({ event }) => event === "bug")).toEqual([]);
  expect(server.log.filter(({ text }) => /[\0-\x1f\x7f]/.test(text))).toEqual([]);
  for (const { text } of server.stored) {
    expect(text).toMatch(
      /^Received: from authenticated-user by relay\.example\.org\r\n\twith (?:UTF8SMTP|ESMTP)SA id /,
    );
    expect(text).not.toMatch(/[^\r]\n|\r(?!\n)|\0/);
  }
  await server.close();
});

async function replies(client: Client): Promise<readonly string[]> {
  const lines: string[] = [];
  for (let next = await client.line(); next !== undefined; next = await client.line()) lines.push(next);
  return lines;
}
