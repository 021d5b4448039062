/** Mail to strangers: the running program asks a name server on loopback where it goes. */
import { createSecureContext } from "node:tls";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";
import { type FakeServer, fakeServer, type Options, type Script } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { note, submitAlone } from "./conversation.ts";

/** Hosts of the zone, each with an address of its own, all on one port. */
const addresses = { one: "127.0.0.2", two: "127.0.0.3", three: "127.0.0.4", silent: "127.0.0.5" };

const zone = new Map<string, Records>([
  ...Object.entries(addresses).map(([name, a]) => [`${name}.mx.example.net`, { a: [a] }] as const),
  [
    "ordered.example.net",
    {
      mx: [
        [20, "two.mx.example.net"],
        [10, "one.mx.example.net"],
        [30, "three.mx.example.net"],
      ],
    },
  ],
  [
    "first-is-down.example.net",
    {
      mx: [
        [10, "silent.mx.example.net"],
        [20, "two.mx.example.net"],
      ],
    },
  ],
  ["implicit.example.net", { a: [addresses.three] }],
  ["null.example.net", { mx: [[0, ""]] }],
  ["nowhere.example.net", { mx: [[10, "unknown.example.net"]] }],
  ["ourselves.example.net", { mx: [[10, "relay.example.org"]] }],
  ["servfail.example.net", { fault: "servfail" }],
]);

const hosts = ["one", "two", "three"] as const;
type Host = (typeof hosts)[number];

let port: number;
let names: NameServer;
let relay: Relay;
const servers = new Map<Host, FakeServer>();

/** Opens a host of the zone, in place of the one that was there. */
async function open(host: Host, script: Script = {}, options: Options = {}): Promise<FakeServer> {
  await servers.get(host)?.close();
  const server = await fakeServer(script, { ...options, at: { host: addresses[host], port } });
  servers.set(host, server);
  return server;
}

beforeAll(async () => {
  port = await freePort(...Object.values(addresses));
  names = await nameServer(zone);
  relay = await startRelay(`[delivery]
relay = "mx"
nameservers = ["${names.address}"]
port = ${port}
private-addresses = true
retry-first = "1s"
retry-longest = "2s"`);
});
beforeEach(async () => {
  for (const host of hosts) await open(host);
});
afterAll(async () => {
  await relay?.stop();
  await names?.close();
  for (const server of servers.values()) await server.close();
});

const sent = (id: string, to: string): Promise<RegExpMatchArray> =>
  relay.logged(
    new RegExp(`${id}: to=<${to.replaceAll(".", "\\.")}>, relay=(\\S+), .* dsn=(\\S+), status=(.*)`),
  );

describe("mail to a domain", () => {
  test.each([
    ["with several MX goes to the one of lowest preference", "x@ordered.example.net", "one"],
    ["whose first MX is down goes to the next", "x@first-is-down.example.net", "two"],
    ["without MX goes to the host of that name", "x@implicit.example.net", "three"],
    ["in capitals goes where it goes in small letters", "x@ORDERED.example.NET", "one"],
  ] as const)("%s", async (_, to, host) => {
    const token = crypto.randomUUID();
    const id = await submitAlone(relay, note(token), { to: [to] });
    const [, hop, , status] = await sent(id, to);
    expect(status).toMatch(/^sent \(250 /);
    expect(hop).toContain(`[${addresses[host]}]:${port}`);
    await relay.logged(new RegExp(`${id}: removed`));
    const received = hosts.flatMap((name) =>
      (servers.get(name)?.received ?? []).filter(({ message }) => message.includes(token)).map(() => name),
    );
    expect(received).toEqual([host]);
  });

  test("that is refused for now by its first MX stays in the queue, and is taken there later", async () => {
    const first = await open("one", { RCPT: ["451 4.7.1 greylisted", "250 2.1.5 ok"] });
    const id = await submitAlone(relay, note("greylisted"), { to: ["y@ordered.example.net"] });
    await relay.logged(new RegExp(`${id}: to=.* status=deferred \\(host .* said: 451 4\\.7\\.1 greylisted`));
    await relay.logged(new RegExp(`${id}: to=.* status=sent`));
    expect(first.received.length).toBe(1);
    expect(servers.get("two")?.received.length).toBe(0);
  });

  test.each([
    ["null.example.net", "5.1.10", /^bounced \(.*null MX/],
    ["unknown.example.net", "5.1.2", /^bounced \(.*does not exist/],
    ["nowhere.example.net", "5.4.4", /^bounced \(.*no mail server .* has an address/],
    ["ourselves.example.net", "5.4.6", /^bounced \(.*would come back/],
    ["servfail.example.net", "4.4.3", /^deferred \(.*the DNS does not tell/],
  ])("%s: %s", async (domain, dsn, said) => {
    const to = `x@${domain}`;
    const [, hop, code, status] = await sent(await submitAlone(relay, note(domain), { to: [to] }), to);
    expect(hop).toBe("none");
    expect(code).toBe(dsn);
    expect(status).toMatch(said);
  });

  test("uses one connection for two recipients of a domain, and others for other domains", async () => {
    const to = ["a@ordered.example.net", "b@ordered.example.net", "c@implicit.example.net"];
    const id = await submitAlone(relay, note("three people"), { to });
    await relay.logged(new RegExp(`${id}: removed`));
    expect(servers.get("one")?.received.map(({ recipients }) => recipients)).toEqual([
      [
        expect.stringContaining("<a@ordered.example.net>"),
        expect.stringContaining("<b@ordered.example.net>"),
      ],
    ]);
    expect(servers.get("three")?.received.length).toBe(1);
  });
});

describe("STARTTLS at an MX", () => {
  const tls = createSecureContext(selfSigned(["somebody.else.example"]));
  const hello = "250-one.mx.example.net\n250-8BITMIME\n250 STARTTLS";

  test("is used where it is offered, whatever the certificate", async () => {
    const host = await open("one", { EHLO: hello }, { tls });
    const id = await submitAlone(relay, note("secret"), { to: ["x@ordered.example.net"] });
    await relay.logged(new RegExp(`${id}: removed`));
    expect(host.received.map(({ secure }) => secure)).toEqual([true]);
    expect(relay.log()).toMatch(
      /Untrusted TLS connection established to one\.mx\.example\.net\[127\.0\.0\.2\]/,
    );
  });

  test("that fails is done without", async () => {
    const host = await open("one", { EHLO: hello, handshake: "no TLS today" }, { tls });
    const id = await submitAlone(relay, note("in clear"), { to: ["x@ordered.example.net"] });
    await relay.logged(new RegExp(`${id}: removed`));
    expect(host.received.map(({ secure }) => secure)).toEqual([false]);
    expect(relay.log()).toMatch(/Cannot start TLS with one\.mx\.example\.net/);
  });
});

describe("loopback addresses in the DNS", () => {
  test("are not followed unless the configuration says so", async () => {
    const careful = await startRelay(
      `[delivery]\nrelay = "mx"\nnameservers = ["${names.address}"]\nport = ${port}`,
    );
    try {
      const id = await submitAlone(careful, note("to yourself"), { to: ["x@implicit.example.net"] });
      await careful.logged(
        new RegExp(`${id}: to=.* dsn=5\\.4\\.4, status=bounced \\(.*no address that is reachable`),
      );
      expect(servers.get("three")?.connections()).toBe(0);
    } finally {
      await careful.stop();
    }
  });
});
