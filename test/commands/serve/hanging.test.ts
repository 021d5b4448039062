/** Two hundred destinations that hang, and one that does not: the running program. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";
import { type FakeServer, fakeServer, type Script, silence } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { note, submitAlone } from "./conversation.ts";

const good = "127.0.0.10";
/** Where they hang, on an address each. */
const hanging: Readonly<Record<string, Script>> = {
  "127.0.0.11": { greeting: silence },
  "127.0.0.12": { MAIL: silence },
  "127.0.0.13": { message: silence },
  "127.0.0.14": { DATA: silence },
};
const domainsEach = 50;
const domains = Object.keys(hanging).flatMap((a, host) =>
  Array.from({ length: domainsEach }, (_, number) => [`d${number}.h${host}.example.net`, a] as const),
);

let names: NameServer;
let relay: Relay;
const servers: FakeServer[] = [];

beforeAll(async () => {
  const port = await freePort(good, ...Object.keys(hanging));
  const hosts = [[good, {}] as const, ...Object.entries(hanging)];
  for (const [host, script] of hosts) servers.push(await fakeServer(script, { at: { host, port } }));
  const zone = new Map<string, Records>(domains.map(([name, a]) => [name, { a: [a] }]));
  zone.set("good.example.net", { a: [good] });
  names = await nameServer(zone);
  relay = await startRelay(`[delivery]
relay = "mx"
nameservers = ["${names.address}"]
port = ${port}
private-addresses = true
mta-sts = false`);
});
afterAll(async () => {
  for (const server of servers) await server.close(); // or the relay's stop waits for them
  await relay?.stop();
  await names?.close();
});

test("200 destinations that hang, each in its way, keep nobody's mail for good ones", async () => {
  for (let first = 0; first < domains.length; first += domainsEach) {
    const to = domains.slice(first, first + domainsEach).map(([name]) => `x@${name}`);
    await submitAlone(relay, note("hangs"), { to });
  }
  const [open, ...hung] = servers;
  const connected = (): number => hung.reduce((sum, { connections }) => sum + connections(), 0);
  await expect.poll(connected, { timeout: 20_000 }).toBe(domains.length);
  const begun = performance.now();
  await submitAlone(relay, note("flows"), { to: ["x@good.example.net"] });
  await expect.poll(() => open?.received.length, { timeout: 20_000 }).toBe(1);
  expect(performance.now() - begun).toBeLessThan(5000); // where it waited, it was for minutes
}, 60_000);
