/** Which way mail goes, and what TLS it has there: routes, lists of relays, MTA-STS, REQUIRETLS. */
import { once } from "node:events";
import { readdir, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";
import { type FakeServer, fakeServer, type Options, type Script } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { enter, expecting, note, submitAlone } from "./conversation.ts";

async function open(script: Script = {}, options: Options = {}): Promise<FakeServer> {
  const server = await fakeServer(script, options);
  onTestFinished(() => server.close());
  return server;
}

async function relayWith(settings: string): Promise<Relay> {
  const relay = await startRelay(settings);
  onTestFinished(() => relay.stop());
  return relay;
}

const gone = (relay: Relay, id: string): Promise<unknown> => relay.logged(new RegExp(`${id}: removed`));

describe("routes", () => {
  test("send each recipient's copy its way: by domain, by sender, and the rest by [delivery]", async () => {
    const [byDomain, bySender, rest] = [await open(), await open(), await open()];
    const relay = await relayWith(`[senders]
policy = "any"
[delivery]
relay = "smtp://127.0.0.1:${rest.port}"
[[route]]
to = ["example.com", ".example.com"]
relay = "smtp://[127.0.0.1]:${byDomain.port}"
source-addresses = ["127.0.0.9"]
[[route]]
from = "press@example.org"
relay = "smtp://127.0.0.1:${bySender.port}"`);
    const to = ["a@example.com", "b@mail.example.com", "c@example.net"];
    await gone(relay, await submitAlone(relay, note("user"), { to }));
    await gone(relay, await submitAlone(relay, note("press"), { from: "press@example.org", to }));
    const recipients = ({ received }: FakeServer) =>
      received.flatMap((one) => one.recipients.map((path) => /<(.*)>/.exec(path)?.[1]));
    expect(recipients(byDomain)).toEqual([...to.slice(0, 2), ...to.slice(0, 2)]);
    expect(recipients(bySender)).toEqual(["c@example.net"]);
    expect(recipients(rest)).toEqual(["c@example.net"]);
    expect(new Set(byDomain.clients)).toEqual(new Set(["127.0.0.9"]));
    expect(new Set(rest.clients)).toEqual(new Set(["127.0.0.1"]));
  });

  test("go on with the next relay at once where one refuses the login", async () => {
    const pair = selfSigned(["localhost"]);
    const options = { tls: createSecureContext(pair) };
    const hello = "250-fake\n250-AUTH PLAIN\n250 STARTTLS";
    const first = await open({ EHLO: hello, AUTH: "535 5.7.8 not you" }, options);
    const second = await open({ EHLO: "250-fake\n250 AUTH PLAIN" }, { ...options, implicit: true });
    const relay = await startRelay();
    onTestFinished(() => relay.stop());
    await writeFile(join(relay.folder, "ca.pem"), pair.cert);
    await relay.configure(`[[route]]
to = "example.net"
relay = ["smtp://localhost:${first.port}", "smtps://localhost:${second.port}"]
relay-user = "relay1"
relay-password-file = "FOLDER/password"
relay-ca = "FOLDER/ca.pem"`);
    relay.signal("SIGHUP");
    await relay.logged(/passwords re-read/);
    await gone(relay, await submitAlone(relay, note("to the second")));
    expect([first.received.length, second.received.length]).toEqual([0, 1]);
    expect(first.commands.join()).toContain("AUTH PLAIN");
    expect(first.inClear.join()).not.toContain("AUTH");
  });
});

describe("a domain with an MTA-STS policy", () => {
  const pair = selfSigned(["mta-sts.example.net", "mx.example.net"]);
  const stranger = selfSigned(["mx.example.net"]);
  const starttls = { EHLO: "250-fake\n250 STARTTLS" };
  const address = "127.0.0.2";
  const zone = new Map<string, Records>([
    ["example.net", { mx: [[10, "mx.example.net"]] }],
    ["mx.example.net", { a: [address] }],
    ["_mta-sts.example.net", { txt: ["v=spf1 -all", "v=STSv1; id=20261122;"] }],
    ["mta-sts.example.net", { a: ["127.0.0.1"] }],
  ]);
  let names: NameServer;
  let web: Server;
  let port: number;
  let settings: string;
  const before = process.env.NODE_EXTRA_CA_CERTS;

  beforeAll(async () => {
    names = await nameServer(zone);
    web = createServer(pair, (_, response) => {
      response.writeHead(200, { "content-type": "text/plain" });
      response.end("version: STSv1\r\nmode: enforce\r\nmx: mx.example.net\r\nmax_age: 86400\r\n");
    }).listen(0, "127.0.0.1");
    await once(web, "listening");
    port = await freePort(address);
    settings = `[delivery]
relay = "mx"
nameservers = ["${names.address}"]
port = ${port}
private-addresses = true
retry-first = "1s"
retry-longest = "1s"
mta-sts-port = ${(web.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    await names?.close();
    web?.close();
    if (before === undefined) delete process.env.NODE_EXTRA_CA_CERTS;
    else process.env.NODE_EXTRA_CA_CERTS = before;
  });

  const openMx = (script: Script, certificate = pair): Promise<FakeServer> =>
    open(script, { tls: createSecureContext(certificate), at: { host: address, port } });

  /** A relay that knows the authority of `pair`, as it knows Mozilla's. */
  async function start(): Promise<Relay> {
    const relay = await relayWith('[delivery]\nrelay = "file:FOLDER/delivered"');
    relay.signal("SIGTERM");
    await relay.ended;
    await writeFile(join(relay.folder, "ca.pem"), pair.cert);
    process.env.NODE_EXTRA_CA_CERTS = join(relay.folder, "ca.pem");
    await relay.configure(settings);
    await relay.start();
    return relay;
  }

  test("gets its mail over verified TLS, waits for a host that proves its name, and is remembered over a restart", async () => {
    const relay = await start();
    const first = await openMx(starttls);
    await gone(relay, await submitAlone(relay, note("verified")));
    expect(relay.log()).toMatch(/MTA-STS policy of example\.net: mode enforce, 1 mx, for 86400 seconds/);
    expect(relay.log()).toMatch(/Verified TLS connection established to mx\.example\.net\[127\.0\.0\.2\]/);
    expect(first.received.map(({ secure }) => secure)).toEqual([true]);
    await first.close();
    expect(await readdir(join(relay.folder, "spool/mta-sts"))).toEqual(["example.net"]);

    relay.signal("SIGTERM");
    await relay.ended;
    zone.delete("_mta-sts.example.net"); // whoever keeps the answers away gains nothing
    const imposter = await openMx(starttls, stranger);
    await relay.start();
    const id = await submitAlone(relay, note("not for you"));
    await relay.logged(new RegExp(`${id}: to=.* dsn=4\\.7\\.5, status=deferred`));
    expect(imposter.received).toEqual([]);
    await imposter.close();
    const right = await openMx(starttls);
    await gone(relay, id);
    expect(right.received.map(({ secure }) => secure)).toEqual([true]);
    await right.close();
    zone.set("_mta-sts.example.net", { txt: ["v=STSv1; id=20261122;"] });
  });

  test("gets a message with REQUIRETLS where its host knows that; where not, the sender gets it back", async () => {
    const relay = await start();
    const able = await openMx({ EHLO: "250-fake\n250-STARTTLS\n250 REQUIRETLS" });
    const send = async (): Promise<string> => {
      const talk = await enter(relay);
      await expecting("250", talk.say("MAIL FROM:<user1@example.org> REQUIRETLS RET=FULL"));
      await expecting("250", talk.say("RCPT TO:<x@example.net>"));
      await expecting("354", talk.say("DATA"));
      const said = await expecting("250", talk.say(`${note("bound", "not for everybody")}.`));
      talk.close();
      return /queued as (\S+)/.exec(said)?.[1] ?? "";
    };
    await gone(relay, await send());
    expect(able.received.map(({ mail, secure }) => [mail, secure])).toEqual([
      [expect.stringMatching(/^FROM:<user1@example\.org> .*REQUIRETLS/), true],
    ]);
    await able.close();
    const unable = await openMx(starttls);
    const id = await send();
    await relay.logged(new RegExp(`${id}: to=<x@example\\.net>.* dsn=5\\.7\\.30, status=bounced`));
    const [, report = ""] = await relay.logged(new RegExp(`${id}: sender non-delivery notification: (\\S+)`));
    // example.org has no host that anybody could vouch for, so the report stays here, and its text nowhere
    await relay.logged(new RegExp(`${report}: to=<user1@example\\.org>.* status=bounced`));
    expect(unable.received).toEqual([]);
  });
});
