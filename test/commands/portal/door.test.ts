/** The door of `serve` for the portal: what it tells, and that it tells nothing else. */
import { once } from "node:events";
import { stat } from "node:fs/promises";
import { type IncomingMessage, request } from "node:http";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { note, submitAlone } from "../serve/conversation.ts";
import { run } from "./world.ts";

describe("portal.socket of serve", { timeout: 60_000 }, () => {
  let relay: Relay;
  let path: string;
  beforeAll(async () => {
    relay = await startRelay('[portal]\nsocket = "FOLDER/door"\n');
    path = join(relay.folder, "door");
  }, 60_000);
  afterAll(() => relay?.stop());

  async function ask(asked: unknown, method = "POST", at = "/") {
    const asking = request({ socketPath: path, method, path: at, agent: false });
    asking.end(typeof asked === "string" ? asked : JSON.stringify(asked));
    const [response] = (await once(asking, "response")) as [IncomingMessage];
    return { status: response.statusCode ?? 0, answer: await text(response) };
  }

  test("is for its group alone", async () => {
    const { mode } = await stat(path);
    expect(mode & 0o777).toBe(0o660);
  });

  test("tells of one login: its state and its messages", async () => {
    const id = await submitAlone(relay, note("door"));
    await relay.logged(new RegExp(`${id}: removed`));
    const { answer } = await ask({ ask: "state", login: "user1" });
    expect(JSON.parse(answer)).toMatchObject({
      known: true,
      limits: [{ used: 1 }, { used: 1 }, { used: 1 }],
      blocks: [],
    });
    await expect
      .poll(async () => JSON.parse((await ask({ ask: "messages", login: "user1" })).answer) as object, {
        timeout: 10_000,
      })
      .toMatchObject({
        uses: [{ client: "unknown[127.0.0.1]", mechanism: "PLAIN" }],
        messages: [
          {
            id,
            total: 1,
            done: true,
            held: false,
            recipients: [{ address: "x@example.net", result: "sent" }],
          },
        ],
      });
    const other = JSON.parse((await ask({ ask: "messages", login: "user2" })).answer) as object;
    expect(other).toEqual({ messages: [], uses: [], busy: false });
    expect(JSON.parse((await ask({ ask: "state", login: "user2" })).answer)).toMatchObject({ known: false });
  });

  test("tells of a login's passwords, without their hashes", async () => {
    await submitAlone(relay, note("passwords"));
    const told = await ask({ ask: "passwords", login: "user1" });
    expect(JSON.parse(told.answer)).toEqual({
      passwords: [
        {
          digest: expect.stringMatching(/^[A-Za-z0-9_-]{22}$/),
          letsIn: true,
          used: expect.any(Number),
          network: "127.0.0.0/24",
        },
      ],
      remembers: true,
    });
    expect(told.answer).not.toContain("$2");
    expect(JSON.parse((await ask({ ask: "passwords", login: "user2" })).answer)).toMatchObject({
      passwords: [],
    });
  });

  test("answers several at once, and tells the rest that it is busy", async () => {
    const all = await Promise.all(Array.from({ length: 12 }, () => ask({ ask: "messages", login: "user1" })));
    const busy = all.map(({ answer }) => (JSON.parse(answer) as { busy: boolean }).busy);
    expect(busy.filter((one) => !one).length).toBeGreaterThanOrEqual(5);
    expect(all.every(({ status }) => status === 200)).toBe(true);
  });

  test.each([
    ["a list", { ask: "list", filter: {} }],
    ["who is frozen", { verb: "frozen" }],
    ["to freeze", { ask: "freeze", login: "user1" }],
    ["for nobody", { ask: "messages" }],
    ["for all", { ask: "messages", login: "*" }],
    ["for everybody's passwords", { ask: "passwords" }],
    ["for an empty name", { ask: "messages", login: "" }],
    ["for two", { ask: "messages", login: ["user1", "user2"] }],
    ["for another domain's", { ask: "state", login: "user1@example.net" }],
    ["with more than it takes", { ask: "test", login: "user1", to: "x@example.net" }],
    ["for a hash without a digest", { ask: "takes", login: "user1" }],
    ["in no JSON", "user1"],
  ])("refuses to be asked %s", async (_, asked) => {
    expect((await ask(asked)).status).toBe(400);
  });

  test("refuses other ways, and what is too long", async () => {
    expect((await ask("", "GET")).status).toBe(404);
    expect((await ask({ verb: "list", filter: {} }, "POST", "/requests")).status).toBe(404);
    expect((await ask({ ask: "state", login: "u".repeat(5_000) })).status).toBe(413);
  });

  test("sends a test message to the login itself, by its rules, five an hour", async () => {
    const first = JSON.parse((await ask({ ask: "test", login: "user1" })).answer) as { id?: string };
    expect(first.id).toMatch(/^[0-9A-F]{10,12}$/);
    await relay.logged(new RegExp(`${first.id}: .*sasl_method=PORTAL, sasl_username=user1`));
    await relay.logged(new RegExp(`${first.id}: to=<user1@example\\.org>.*status=sent`));
    expect((await ask({ ask: "test", login: "user2" })).answer).toContain("does not know this login");
    const more = await Promise.all(Array.from({ length: 6 }, () => ask({ ask: "test", login: "user1" })));
    expect(more.filter(({ answer }) => answer.includes("queued as"))).toHaveLength(4);
    expect(more.filter(({ answer }) => answer.includes('"code":450'))).toHaveLength(2);
  });

  test("says why a login is shut out, which then sends no test", async () => {
    const freeze = run(["queue", "freeze", "user1", "--reason", "looks stolen", "--yes", "-c", relay.config]);
    await once(freeze.child, "exit");
    expect([freeze.child.exitCode, freeze.log()]).toEqual([0, expect.any(String)]);
    const { answer } = await ask({ ask: "state", login: "user1" });
    expect(JSON.parse(answer)).toMatchObject({ frozen: { reason: "looks stolen" } });
    expect(answer).not.toContain("uid"); // which operator did it is the operators' business
  });
});
