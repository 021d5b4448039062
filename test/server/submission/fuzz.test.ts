/** The conversations of test/dialogues with octets changed, lost, doubled and mixed: no crash, no hang, nothing left behind. */
import fc from "fast-check";
import { expect, test, vi } from "vitest";
import { conversation } from "../../dialogues/mutation.ts";
import { type Client, connect } from "./client.ts";
import { openTestListener, testTimeouts } from "./test-listener.ts";

const piece = fc.integer({ min: 1, max: 5_000 });

test("whatever comes, every reply is one, the log stays clean and no draft is left", {
  timeout: 120_000,
}, async () => {
  const server = await openTestListener("smtps", { timeouts: { ...testTimeouts, wrongPassword: 0 } });
  const runs = Number(process.env["TPA_SUBMIT_FUZZ_RUNS"] ?? 60);
  await fc.assert(
    fc.asyncProperty(conversation, piece, async (script, length) => {
      const client = await connect(server.port, true);
      const reading = replies(client);
      for (let at = 0; at < script.length; at += length) await client.send(script.subarray(at, at + length));
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
