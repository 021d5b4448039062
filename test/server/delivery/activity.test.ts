/** What a delivery tells of itself, and how many may be under way. */
import { expect, test } from "vitest";
import { retryPolicyOf } from "../../../src/commands/serve/delivery.ts";
import type { Config } from "../../../src/config/settings.ts";
import { attempt } from "../../../src/server/delivery/attempt.ts";
import type { DeliveryActivity } from "../../../src/server/delivery/transaction.ts";
import { fakeServer, type Script, silence } from "../../tools/fakeserver.ts";
import { hop, outgoing, transportSettings } from "./fixtures.ts";

/** All that is told before the host has fallen silent, repetitions left out. */
async function told(script: Script): Promise<readonly DeliveryActivity[]> {
  const at = await fakeServer(script);
  const paces: DeliveryActivity[] = [];
  const stop = new AbortController();
  const tell = (pace: DeliveryActivity): void => {
    if (paces.at(-1) !== pace) paces.push(pace);
  };
  const under = attempt(outgoing(), [hop(at.port)], transportSettings(), Date.now, stop.signal, tell);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const before = [...paces];
  stop.abort();
  await under;
  await at.close();
  return before;
}

test.each<{ where: string; script: Script; paces: readonly DeliveryActivity[] }>([
  { where: "at the greeting", script: { greeting: silence }, paces: ["talks"] },
  { where: "at MAIL", script: { MAIL: silence }, paces: ["talks", "works", "talks"] },
  { where: "after the final dot", script: { message: silence }, paces: ["talks", "works", "talks", "waits"] },
  { where: "nowhere", script: {}, paces: ["talks", "works", "talks", "waits", "talks", "works"] },
])("a host that hangs $where is waited for", async ({ script, paces }) => {
  expect(await told(script)).toEqual(paces);
});

test.each([
  { concurrency: 100, descriptors: 65_536, underWay: 2000 },
  { concurrency: 100, descriptors: 1024, underWay: 512 },
  { concurrency: 100, descriptors: 128, underWay: 100 },
  { concurrency: 1, descriptors: Number.POSITIVE_INFINITY, underWay: 20 },
])(
  "$concurrency that move and $descriptors descriptors are room for $underWay",
  ({ concurrency, descriptors, underWay }) => {
    const config = { delivery: { concurrency }, spool: {} } as Config;
    expect(retryPolicyOf(config, descriptors).underWay).toBe(underWay);
  },
);
