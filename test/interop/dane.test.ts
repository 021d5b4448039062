/** DANE with a signed zone: knot signs, unbound validates, and a next hop shows its certificate. */

import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { afterAll, beforeAll, describe, expect, onTestFinished, test } from "vitest";
import { startRelay } from "../../demo/relay.mjs";
import { attempt } from "../../src/server/delivery/attempt.ts";
import { nameServer } from "../../src/server/delivery/dns/query.ts";
import { type Resolver, validatingResolver } from "../../src/server/delivery/dns/resolver.ts";
import { hopsByMx, type MxSettings } from "../../src/server/delivery/mx.ts";
import type { NextHop } from "../../src/server/delivery/next-hop.ts";
import type { Reply } from "../../src/smtp/reply.ts";
import { note, submitAlone } from "../commands/serve/conversation.ts";
import { outgoing, replies, transportSettings } from "../server/delivery/fixtures.ts";
import { selfSigned } from "../tools/certificate.ts";
import { clientCertificate } from "../tools/client-certificate.ts";
import { type FakeServer, fakeServer } from "../tools/fakeserver.ts";
import { real } from "../tools/real.ts";
import { type SignedDns, signedDns } from "../tools/signed-dns.ts";

/** What is found out about one domain, and what becomes of a message for it. */
interface Case {
  readonly domain: string;
  readonly name: string;
  /** The policy of its first host, or the reply where there is none. */
  readonly route: string;
  /** Whether signatures prove who its host is. */
  readonly authentic?: boolean;
  readonly reply: RegExp;
  readonly secure?: boolean;
}

const mismatch = /^451 4\.7\.5 /;

const cases: readonly Case[] = [
  { domain: "ee", name: "3 1 1, and the key is that one", route: "dane", reply: /^250/, secure: true },
  { domain: "ta", name: "2 0 1, and the authority is that one", route: "dane", reply: /^250/, secure: true },
  {
    domain: "ta-name",
    name: "2 0 1, and the certificate is for the domain in place of the host",
    route: "dane",
    reply: /^250/,
    secure: true,
  },
  { domain: "ta-other", name: "2 0 1, and the name is another", route: "dane", reply: mismatch },
  { domain: "wrong", name: "3 1 1, and the key is another", route: "dane", reply: mismatch },
  { domain: "roll", name: "two records, of which one is right", route: "dane", reply: /^250/, secure: true },
  {
    domain: "unusable",
    name: "1 1 1 only, which SMTP has no use for",
    route: "encrypted",
    reply: /^250/,
    secure: true,
  },
  { domain: "none", name: "none", route: "no policy", reply: /^250/, secure: true },
  { domain: "self", name: "3 1 1 and no MX", route: "dane", reply: /^250/, secure: true },
  { domain: "alias", name: "3 1 1 where a signed CNAME leads", route: "dane", reply: /^250/, secure: true },
  {
    domain: "leaves",
    name: "3 1 1 for a signed CNAME that leads where nothing is signed",
    route: "dane",
    reply: mismatch,
  },
  {
    domain: "indirect",
    name: "3 1 1 behind a CNAME of its own",
    route: "dane",
    reply: /^250/,
    secure: true,
  },
  {
    domain: "dark",
    name: "records that do not validate: the host is not used",
    route: "451 4.7.5 the DNS does not tell whether dark-mx.signed.example.net has TLSA records (ESERVFAIL)",
    reply: mismatch,
  },
  {
    domain: "half-dark",
    name: "records that do not validate at one host: the other is used",
    route: "dane",
    reply: /^250/,
    secure: true,
  },
  {
    domain: "outside",
    name: "3 1 1 that nobody signed, at a host that nobody signed",
    route: "no policy",
    authentic: true,
    reply: /^250/,
    secure: true,
  },
];

describe.skipIf(!real("knotd", "keymgr", "unbound", "dig"))("TLSA records of a signed zone:", () => {
  let dns: SignedDns;
  let hop: FakeServer;
  let resolver: Resolver;
  let routing: MxSettings;

  beforeAll(async () => {
    const authority = selfSigned(["a certificate authority"]);
    const names = ["ta-mx.signed.example.net", "ta-name.signed.example.net"];
    const pair = clientCertificate(
      authority,
      names.map((name) => `DNS:${name}`),
      "serverAuth",
    );
    const chain = { key: pair.key, cert: `${pair.cert}${authority.cert}` };
    hop = await fakeServer(
      { EHLO: "250-fake.example.net\n250 STARTTLS" },
      { tls: createSecureContext(chain) },
    );
    const leaf = new X509Certificate(pair.cert).publicKey.export({ type: "spki", format: "der" });
    const digest = (octets: Buffer): string => createHash("sha256").update(octets).digest("hex");
    const [key, ca] = [digest(leaf), digest(new X509Certificate(authority.cert).raw)];
    const wrong = "00".repeat(32);
    const host = (name: string, tlsa: readonly string[]): string =>
      [`${name} A 127.0.0.1`, ...tlsa.map((data) => `_${hop.port}._tcp.${name} TLSA ${data}`)].join("\n");
    const at = (domain: string, mx = `${domain}-mx`): string => `${domain} MX 10 ${mx}`;
    const many = Array.from({ length: 120 }, (_, number) => `many A 192.0.2.${number + 1}`);
    dns = await signedDns([
      {
        name: "signed.example.net",
        state: "signed",
        records: [
          ...["ee", "ta", "wrong", "roll", "unusable", "none", "dark"].map((domain) => at(domain)),
          at("ta-name", "another"),
          at("ta-other", "another"),
          ...["alias", "leaves", "indirect"].map((domain) => at(domain)),
          `${at("half-dark", "dark-mx")}\nhalf-dark MX 20 ee-mx`,
          at("outside", "mx.unsigned.example.net."),
          host("ee-mx", [`3 1 1 ${key}`]),
          host("ta-mx", [`2 0 1 ${ca}`]),
          host("another", [`2 0 1 ${ca}`]),
          host("wrong-mx", [`3 1 1 ${wrong}`]),
          host("roll-mx", [`3 1 1 ${wrong}`, `3 1 1 ${key}`]),
          host("unusable-mx", [`1 1 1 ${key}`]),
          host("none-mx", []),
          host("self", [`3 1 1 ${key}`]),
          "alias-mx CNAME ee-mx",
          `leaves-mx CNAME mx.unsigned.example.net.\n_${hop.port}._tcp.leaves-mx TLSA 3 1 1 ${wrong}`,
          `indirect-mx A 127.0.0.1\n_${hop.port}._tcp.indirect-mx CNAME _${hop.port}._tcp.ee-mx`,
          `dark-mx A 127.0.0.1\n_${hop.port}._tcp.dark-mx CNAME here.bogus.example.net.`,
          ...many,
        ].join("\n"),
      },
      {
        name: "unsigned.example.net",
        state: "unsigned",
        records: ["@ MX 10 mx", host("mx", [`3 1 1 ${wrong}`])].join("\n"),
      },
      {
        name: "bogus.example.net",
        state: "bogus",
        records: ["@ MX 10 mx", host("mx", []), `here TLSA 3 1 1 ${wrong}`].join("\n"),
      },
    ]);
    resolver = validatingResolver(nameServer(dns.resolver));
    const { port } = hop;
    routing = {
      resolver,
      hostname: "submission.example.org",
      port,
      privateAddresses: true,
      random: () => 0.5,
    };
  });
  afterAll(async () => {
    await dns?.stop();
    await hop?.close();
  });

  const routed = (route: readonly NextHop[] | Reply): string =>
    "code" in route ? `${route.code} ${route.status} ${route.text}` : (route[0]?.tls?.kind ?? "no policy");

  async function outcome(domain: string): Promise<{ reply: string; secure: boolean | undefined }> {
    const route = await hopsByMx(domain, routing);
    if ("code" in route) return { reply: routed(route), secure: undefined };
    const before = hop.received.length;
    const outcomes = await attempt(
      outgoing(),
      route,
      transportSettings(),
      Date.now,
      new AbortController().signal,
    );
    return { reply: replies(outcomes).join(), secure: hop.received[before]?.secure };
  }

  test.each(cases)("$name ($domain)", async ({ domain, route, authentic = true, reply, secure }) => {
    const name = `${domain}.signed.example.net`;
    const found = await hopsByMx(name, routing);
    expect(routed(found)).toBe(route);
    if (!("code" in found)) expect(found.map((one) => one.authentic)).toEqual(found.map(() => authentic));
    expect(await outcome(name)).toEqual({ reply: expect.stringMatching(reply), secure });
  });

  test("of a zone that is not signed count for nothing", async () => {
    const [found] = (await hopsByMx("unsigned.example.net", routing)) as readonly NextHop[];
    expect(found).toEqual({ host: "mx.unsigned.example.net", address: "127.0.0.1", port: hop.port });
    expect(await outcome("unsigned.example.net")).toMatchObject({ reply: expect.stringMatching(/^250/) });
  });

  test("of a zone whose signatures are wrong: nothing is known of it, the mail waits", async () => {
    expect(routed(await hopsByMx("bogus.example.net", routing))).toBe(
      "451 4.4.3 the DNS does not tell where mail for bogus.example.net goes (ESERVFAIL)",
    );
  });

  test("a wrong certificate is not shown the message", async () => {
    const before = hop.received.length;
    expect(await outcome("wrong.signed.example.net")).toMatchObject({
      reply: expect.stringMatching(mismatch),
    });
    expect(hop.received.length).toBe(before);
  });

  test("are what the relay itself goes by", async () => {
    const { host, port } = dns.resolver;
    const relay = await startRelay(`[delivery]
dnssec-resolver = "${host}:${port}"
port = ${hop.port}
private-addresses = true`);
    onTestFinished(() => relay.stop());
    const to = ["x@ta.signed.example.net", "x@wrong.signed.example.net"];
    const id = await submitAlone(relay, note("dane", "the end"), { to });
    await relay.logged(new RegExp(`${id}: to=<x@ta\\.signed\\.example\\.net>, .* status=sent `));
    await relay.logged(/Verified TLS connection established to ta-mx\.signed\.example\.net\[127\.0\.0\.1\]/);
    await relay.logged(
      new RegExp(`${id}: to=<x@wrong\\.signed\\.example\\.net>, .* dsn=4\\.7\\.5, status=deferred `),
    );
  });

  test("an answer that fits into no datagram comes whole", async () => {
    const answer = await resolver.ipv4("many.signed.example.net");
    expect(answer).toMatchObject({ kind: "found", authentic: true });
    expect(answer.kind === "found" && answer.values.length).toBe(120);
  });

  test("that there is no such name is proven, too", async () => {
    expect(await resolver.mx("nowhere.signed.example.net")).toMatchObject({
      kind: "unknown",
      authentic: true,
    });
    expect(await resolver.mx("ee-mx.signed.example.net")).toMatchObject({
      kind: "nothing",
      authentic: true,
    });
  });
});
