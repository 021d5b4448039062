/** Policies of MTA-STS from a real web server, on a real disk. */
import { once } from "node:events";
import { mkdtemp, readdir, rm, writeFile } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { TlsaRecord } from "../../../../src/server/delivery/dns/message.ts";
import type { DnsAnswer, Resolver } from "../../../../src/server/delivery/dns/resolver.ts";
import {
  openStsPolicies,
  policyFetcher,
  type StsCache,
  type StsPolicies,
  stsCache,
} from "../../../../src/server/delivery/tls/mta-sts.ts";
import { mxTransport } from "../../../../src/server/delivery/transport.ts";
import type { TransportSettings } from "../../../../src/server/delivery/transport-settings.ts";
import { type LogEntry, logTo } from "../../../../src/server/log/log.ts";
import { type SelfSigned, selfSigned } from "../../../tools/certificate.ts";
import { close, type Script } from "../../../tools/fakeserver.ts";
import { outgoing, recipient, replies, transportSettings } from "../fixtures.ts";
import { server } from "../hosts.ts";

const day = 86_400_000;
const policyOf = (more = ""): string =>
  `version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 604800\n${more}`;

describe("MTA-STS", () => {
  let pair: SelfSigned;
  let other: SelfSigned;
  beforeAll(() => {
    pair = selfSigned(["mta-sts.example.net", "mta-sts.example.com", "mx.example.net"]);
    other = selfSigned(["www.example.net"]);
  });

  /** What the web server says, as a test wants it. */
  let answer: { status: number; headers: Readonly<Record<string, string>>; text: string };
  let asked: string[];
  let web: Server;
  let webPort: number;
  let folder: string;
  let time: number;
  let lines: string[];
  let saved: number;
  /** TXT records, "A host" and so on; what is missing does not exist. */
  let zone: Map<string, readonly string[]>;
  let dnsFails: boolean;

  beforeEach(async () => {
    answer = { status: 200, headers: { "content-type": "text/plain" }, text: policyOf() };
    asked = [];
    lines = [];
    saved = 0;
    time = Date.UTC(2026, 10, 22);
    dnsFails = false;
    zone = new Map([
      ["TXT _mta-sts.example.net", ["v=STSv1; id=1;"]],
      ["A mta-sts.example.net", ["127.0.0.1"]],
      ["MX example.net", ["mx.example.net"]],
      ["A mx.example.net", ["127.0.0.1"]],
    ]);
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-sts-"));
    web = createServer(pair, (request, response) => {
      asked.push(`${request.headers.host?.replace(/:\d+$/, "")}${request.url}`);
      response.writeHead(answer.status, answer.headers).end(answer.text);
    }).listen(0, "127.0.0.1");
    await once(web, "listening");
    webPort = (web.address() as AddressInfo).port;
    logTo(({ text }: LogEntry) => lines.push(text));
  });
  afterEach(async () => {
    logTo(() => undefined);
    web.closeAllConnections();
    await new Promise<void>((resolve) => web.close(() => resolve()));
    await rm(folder, { recursive: true });
  });

  const look =
    (type: string) =>
    async (name: string): Promise<DnsAnswer<string>> => {
      if (dnsFails) return { kind: "trouble", reason: "ETIMEOUT" };
      const values = zone.get(`${type} ${name}`);
      return values ? { kind: "found", values } : { kind: "unknown" };
    };
  const resolver: Resolver = {
    mx: async (name) => {
      const found = await look("MX")(name);
      if (found.kind !== "found") return found;
      return { kind: "found", values: found.values.map((exchange, priority) => ({ exchange, priority })) };
    },
    ipv4: look("A"),
    ipv6: look("AAAA"),
    txt: look("TXT"),
  };
  /** Policies on disk; `saved` counts them once they are there. */
  function countingCache(): StsCache {
    const cache = stsCache(join(folder, "mta-sts"));
    return {
      ...cache,
      async keep(kept, text) {
        await cache.keep(kept, text);
        saved += 1;
      },
    };
  }
  const open = (privateAddresses = true, ca = pair.cert): Promise<StsPolicies> => {
    const fetching = policyFetcher({ resolver, privateAddresses, port: webPort, ca });
    return openStsPolicies(resolver, fetching, countingCache(), () => time);
  };

  describe("a policy", () => {
    test("is found by its record and fetched once for all who ask", async () => {
      const policies = await open();
      const found = await Promise.all([policies.of("example.net"), policies.of("example.net")]);
      expect(found).toEqual([1, 2].map(() => ({ mode: "enforce", mx: ["mx.example.net"], maxAge: 604_800 })));
      await policies.of("example.net");
      expect(asked).toEqual(["mta-sts.example.net/.well-known/mta-sts.txt"]);
      expect(lines).toEqual(["MTA-STS policy of example.net: mode enforce, 1 mx, for 604800 seconds (id 1)"]);
    });

    test("is not looked for where no record tells of one", async () => {
      zone.delete("TXT _mta-sts.example.net");
      expect(await (await open()).of("example.net")).toBeUndefined();
      expect(asked).toEqual([]);
    });

    test.each<readonly [string, () => void, RegExp]>([
      ["with another status", () => (answer.status = 404), /the web server answers 404/],
      ["elsewhere", () => (answer = { ...answer, status: 301, headers: { location: "/" } }), /answers 301/],
      ["in HTML", () => (answer.headers = { "content-type": "text/html" }), /it is not text\/plain/],
      ["of no type", () => (answer.headers = {}), /it is not text\/plain/],
      ["of more than 64 KiB", () => (answer.text = policyOf("x: y\n".repeat(20_000))), /larger than 65536/],
      ["that is none", () => (answer.text = "hello"), /line 1 is no field/],
      ["where nobody listens", () => web.close(), /ECONNREFUSED/],
      ["where there is no host", () => zone.delete("A mta-sts.example.net"), /has no address;/],
      ["with a certificate for another name", () => web.setSecureContext(other), /certificate/],
    ])("%s is none, and nobody asks for it again at once", async (_, arrange, reason) => {
      arrange();
      const policies = await open();
      expect(await policies.of("example.net")).toBeUndefined();
      expect(lines).toEqual([
        expect.stringMatching(/^cannot get the MTA-STS policy of example\.net: .*; going on without one$/),
      ]);
      expect(lines.join()).toMatch(reason);
      await policies.of("example.net");
      expect(lines).toHaveLength(1);
      time += 6 * 60_000;
      await policies.of("example.net");
      expect(lines).toHaveLength(2);
    });

    test("is not fetched from a web server with a certificate that nobody knows", async () => {
      expect(await (await open(true, other.cert)).of("example.net")).toBeUndefined();
      expect(asked).toEqual([]);
    });

    test("is not fetched from a private address", async () => {
      expect(await (await open(false)).of("example.net")).toBeUndefined();
      expect(asked).toEqual([]);
      expect(lines.join()).toMatch("has no address that is reachable from outside");
    });

    test("is fetched again when the record has another id, and the old one holds until that succeeds", async () => {
      const policies = await open();
      await policies.of("example.net");
      zone.set("TXT _mta-sts.example.net", ["v=STSv1; id=2"]);
      answer.status = 503;
      expect(await policies.of("example.net")).toMatchObject({ mode: "enforce" });
      expect(lines.at(-1)).toMatch(/the web server answers 503; the previous one stays in force$/);
      answer = { ...answer, status: 200, text: policyOf().replace("enforce", "testing") };
      time += 6 * 60_000;
      expect(await policies.of("example.net")).toMatchObject({ mode: "testing" });
    });

    test("holds until it ends, though its record is gone or the DNS is silent", async () => {
      const policies = await open();
      await policies.of("example.net");
      zone.delete("TXT _mta-sts.example.net");
      time += 6 * day;
      answer.status = 404;
      expect(await policies.of("example.net")).toMatchObject({ mode: "enforce" });
      dnsFails = true;
      expect(await policies.of("example.net")).toMatchObject({ mode: "enforce" });
      time += 2 * day;
      expect(await policies.of("example.net")).toBeUndefined();
    });

    test("is renewed once a day, well before it ends", async () => {
      const policies = await open();
      await policies.of("example.net");
      time += day + 1;
      await policies.of("example.net"); // of this or any other domain
      await expect.poll(() => asked.length).toBe(2);
      await expect.poll(() => saved).toBe(2);
      time += 6.5 * day;
      expect(await policies.of("example.net")).toMatchObject({ mode: "enforce" });
      await expect.poll(() => saved).toBe(3);
    });

    test("is forgotten in the end, when nobody has written there for a month", async () => {
      const policies = await open();
      await policies.of("example.net");
      for (let days = 1; days <= 40; days++) {
        time += day;
        await policies.of("example.com");
        if (days < 30) await expect.poll(() => saved).toBe(days + 1);
      }
      await expect.poll(() => readdir(join(folder, "mta-sts"))).toEqual([]);
    });

    test("outlives a restart", async () => {
      await (await open()).of("example.net");
      web.close();
      dnsFails = true;
      expect(await (await open()).of("example.net")).toMatchObject({ mode: "enforce" });
    });

    test.each(["", "{", "{}", '{"domain":"example.net","id":"1","fetched":0,"used":0,"text":"x"}'])(
      "that is damaged on disk (%s) is fetched again, and others are not forgotten for that",
      async (text) => {
        zone.set("TXT _mta-sts.example.com", ["v=STSv1; id=1"]).set("A mta-sts.example.com", ["127.0.0.1"]);
        const policies = await open();
        await policies.of("example.net");
        await policies.of("example.com");
        await writeFile(join(folder, "mta-sts", "example.net"), text);
        const again = await open();
        expect(lines.at(-1)).toBe("MTA-STS policies on disk (example.net): it is damaged");
        expect(await again.of("example.net")).toMatchObject({ mode: "enforce" });
        expect(await again.of("example.com")).toMatchObject({ mode: "enforce" });
        expect(asked).toHaveLength(3);
      },
    );

    test("holds though the disk does not take it, and that is told", async () => {
      await writeFile(join(folder, "mta-sts"), "a file where the folder should be");
      const policies = await open();
      expect(await policies.of("example.net")).toMatchObject({ mode: "enforce" });
      expect(lines).toContainEqual(expect.stringMatching(/^MTA-STS policies on disk \(example\.net\): /));
    });
  });

  describe("mail to a domain with a policy", () => {
    const starttls = { EHLO: "250-fake\n250 STARTTLS" };
    /** Delivers to example.net, whose one host does as `script` says and has `context`'s certificate. */
    async function send(script: Script, certificate: SelfSigned, more: Partial<TransportSettings> = {}) {
      const at = await server(script, { tls: createSecureContext(certificate) });
      const routing = {
        resolver,
        hostname: "submission.example.org",
        port: at.port,
        privateAddresses: true,
        random: () => 0.5,
      };
      const transport = mxTransport(
        routing,
        await open(),
        transportSettings({ ca: pair.cert, ...more }),
        () => time,
      );
      const sent = outgoing({ recipients: [recipient("a@example.net")] });
      const outcomes = await transport.deliver(sent, new AbortController().signal);
      return { at, said: replies(outcomes)[0] };
    }

    test("goes to a host that it lists, whose certificate is verified", async () => {
      const { at, said } = await send(starttls, pair);
      expect(said).toBe("250 2.0.0 queued as F00");
      expect(at.received.map(({ secure }) => secure)).toEqual([true]);
      expect(lines).toContainEqual(
        expect.stringMatching(/^Verified TLS connection established to mx\.example\.net/),
      );
    });

    test.each<readonly [string, Script, () => SelfSigned, RegExp]>([
      ["does not offer TLS", { STARTTLS: "502 5.5.1 what?" }, () => pair, /^451 4\.7\.4 TLS is required/],
      [
        "refuses TLS",
        { ...starttls, STARTTLS: "454 4.7.0 not now" },
        () => pair,
        /^451 4\.7\.4 TLS is required/,
      ],
      ["fails the handshake", { ...starttls, handshake: close }, () => pair, /^451 4\.7\.5 Cannot start TLS/],
      ["has a certificate that nobody knows", starttls, () => other, /^451 4\.7\.5 .*self-signed/],
    ])("waits, never in clear, when the host %s", async (_, script, certificate, reason) => {
      const { at, said } = await send(script, certificate());
      expect(said).toMatch(reason);
      expect(at.received).toEqual([]);
      expect(at.commands.join()).not.toContain("MAIL");
    });

    test("waits when the host's certificate is for another name", async () => {
      const { at, said } = await send(starttls, other, { ca: other.cert });
      expect(said).toMatch(/^451 4\.7\.5 .*does not match certificate/);
      expect(at.received).toEqual([]);
    });

    test("waits when the DNS names a host that the policy does not list", async () => {
      answer.text = policyOf().replace("mx.example.net", "mx.example.com");
      const { at, said } = await send(starttls, pair);
      expect(said).toBe("451 4.7.5 none of the mail servers of example.net is listed in its MTA-STS policy");
      expect(at.connections()).toBe(0);
      expect(lines).toContainEqual(
        expect.stringMatching(/^TLS policy "verified" not met by mx\.example\.net.*not listed/),
      );
    });

    test("in testing goes all the same, and what would have failed is told", async () => {
      answer.text = policyOf().replace("enforce", "testing").replace("mx.example.net", "mx.example.com");
      const { at, said } = await send({}, pair);
      expect(said).toBe("250 2.0.0 queued as F00");
      expect(at.received.map(({ secure }) => secure)).toEqual([false]);
      expect(lines.filter((line) => line.startsWith("MTA-STS in testing"))).toEqual([
        expect.stringMatching(/would not be used: it is not listed in the MTA-STS policy of example\.net$/),
        expect.stringMatching(/would not be used: no TLS$/),
      ]);
    });

    test("in testing goes to a host with a wrong certificate, and that is told", async () => {
      answer.text = policyOf().replace("enforce", "testing");
      const { said } = await send(starttls, other);
      expect(said).toBe("250 2.0.0 queued as F00");
      expect(lines).toContainEqual(expect.stringMatching(/would not be used: .*SELF_SIGNED/));
    });

    test("of the mode none goes as if there were no policy", async () => {
      answer.text = "version: STSv1\nmode: none\nmax_age: 60\n";
      const { at, said } = await send({}, pair);
      expect(said).toBe("250 2.0.0 queued as F00");
      expect(at.received.map(({ secure }) => secure)).toEqual([false]);
    });

    test("is not let go by a good certificate when the TLSA records are about another one", async () => {
      const record: TlsaRecord = { usage: 3, selector: 1, matching: 1, data: new Uint8Array(32) };
      const at = await server(starttls, { tls: createSecureContext(pair) });
      const signed: Resolver = {
        ...resolver,
        mx: async (name) => ({ ...(await resolver.mx(name)), authentic: true }),
        ipv4: async (name) => ({ ...(await resolver.ipv4(name)), authentic: true }),
        signed: {
          tlsa: async () => ({ kind: "found", values: [record], authentic: true }),
          cname: async () => ({ kind: "nothing", authentic: true }),
        },
      };
      const routing = {
        resolver: signed,
        hostname: "submission.example.org",
        port: at.port,
        privateAddresses: true,
        random: () => 0.5,
      };
      const transport = mxTransport(routing, await open(), transportSettings({ ca: pair.cert }), () => time);
      const sent = outgoing({ recipients: [recipient("a@example.net")] });
      const outcomes = await transport.deliver(sent, new AbortController().signal);
      expect(replies(outcomes)).toEqual([expect.stringMatching(/^451 4\.7\.5 .*\(DANE\)$/)]);
      expect(at.received).toEqual([]);
    });
  });
});
