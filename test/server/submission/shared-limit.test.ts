/** A spool that several hosts share may refuse a message at its promise, because of what another host has just accepted. */
import { afterEach, expect, test } from "vitest";
import type { Spend } from "../../../src/server/spool/spend.ts";
import type { NewEnvelope } from "../../../src/server/spool/spool.ts";
import { connect } from "./client.ts";
import { openTestListener, type TestListener, testContext } from "./test-listener.ts";

let server: TestListener;
afterEach(() => server.close());

test("a message that exceeds a limit at its promise is answered as one that exceeds it at MAIL, and does not count", async () => {
  const asked: Spend[] = [];
  let isFull = true;
  const { spool } = testContext();
  server = await openTestListener("smtps", {
    spool: {
      ...spool,
      async draft() {
        const draft = await spool.draft();
        return {
          ...draft,
          async accept(given: NewEnvelope, spend?: Spend) {
            if (spend) asked.push(spend);
            const until = Date.now() + 41 * 60_000;
            if (isFull) return { limit: "2 messages an hour", until } as never;
            return draft.accept(given);
          },
        };
      },
    },
  });
  const client = await connect(server.port, true);
  const say = async (line: string): Promise<string> => {
    await client.send(`${line}\r\n`);
    for (;;) {
      const said = (await client.line()) ?? "";
      if (!/^\d{3}-/.test(said)) return said;
    }
  };
  await client.line();
  await say("EHLO client.example");
  await say(`AUTH PLAIN ${Buffer.from("\0user1\0secret").toString("base64")}`);
  const send = async (): Promise<string> => {
    await say("MAIL FROM:<user1@example.org>");
    await say("RCPT TO:<x@example.net>");
    await say("RCPT TO:<y@example.net>");
    expect(await say("DATA")).toMatch(/^354 /);
    return say("From: user1@example.org\r\n\r\nHello\r\n.");
  };
  expect(await send()).toMatch(
    /^450 4\.7\.1 The limit of 2 messages an hour is reached; try again in 41 minutes, at \d\d:\d\d UTC\. If it was not you who sent so much, change your password$/,
  );
  expect(await send()).toMatch(/^450 /);
  expect(server.log.filter(({ event }) => event === "limit-reached")).toHaveLength(1);
  expect(server.log.filter(({ event }) => event === "queued")).toEqual([]);
  isFull = false;
  expect(await send()).toMatch(/^250 2\.0\.0 Ok: queued as /);
  expect(asked.map(({ login, recipients }) => [login, new Set(recipients).size])).toEqual(
    [1, 2, 3].map(() => ["user1", 2]),
  );
  client.destroy();
});
