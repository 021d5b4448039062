/** `tpa-submit queue show` of a message that a next hop had whole, more than once. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { close, type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { note, submitAlone } from "../serve/conversation.ts";
import { well } from "./operator.ts";

let hop: FakeServer;
let relay: Relay;

beforeAll(async () => {
  hop = await fakeServer({ message: close });
  relay = await startRelay(`[delivery]
relay = "smtp://127.0.0.1:${hop.port}"
retry-first = "1s"
retry-longest = "1s"`);
});
afterAll(async () => {
  await relay?.stop();
  await hop?.close();
});

test("it counts the copies that the recipient may have", async () => {
  const id = await submitAlone(relay, note("copies"));
  await expect
    .poll(() => well(relay, "show", id), { timeout: 20_000, interval: 300 })
    .toMatch(/^ {4}possible copies: [2-9], taken whole without an answer$/m);
  const shown: unknown = JSON.parse(await well(relay, "show", "--json", id));
  expect(shown).toMatchObject({ possible_copies: { "x@example.net": expect.any(Number) } });
}, 40_000);
