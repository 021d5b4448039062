/** What a message itself asks of TLS (RFC 8689), on its way to hosts that can and that cannot. */

import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { afterEach, beforeAll, describe, expect, test } from "vitest";
import type { Resolver } from "../../../../src/server/delivery/dns/resolver.ts";
import type { NextHop } from "../../../../src/server/delivery/next-hop.ts";
import type { StsPolicies } from "../../../../src/server/delivery/tls/mta-sts.ts";
import type { StsPolicy } from "../../../../src/server/delivery/tls/mta-sts-policy.ts";
import {
  isTlsOptional,
  permittedHops,
  tlsRequestSuffix,
} from "../../../../src/server/delivery/tls/require-tls.ts";
import { mxTransport, type RelayHost, relayTransport } from "../../../../src/server/delivery/transport.ts";
import type { TransportSettings } from "../../../../src/server/delivery/transport-settings.ts";
import { type LogEntry, logTo } from "../../../../src/server/log/log.ts";
import type { Envelope } from "../../../../src/server/spool/envelope.ts";
import { type SelfSigned, selfSigned } from "../../../tools/certificate.ts";
import { close, type FakeServer, type Script } from "../../../tools/fakeserver.ts";
import { outgoing, replies, transportSettings } from "../fixtures.ts";
import { server } from "../hosts.ts";

const lines: string[] = [];
afterEach(() => {
  logTo(() => undefined);
  lines.length = 0;
});

describe("hosts for a message", () => {
  const at = (more: Partial<NextHop>): NextHop => ({
    host: "mx.example.net",
    address: "192.0.2.1",
    port: 25,
    ...more,
  });
  const verified = { kind: "verified", names: ["mx.example.net"] } as const;
  const dane = { kind: "dane", names: ["mx.example.net"], records: [] } as const;
  const all = [
    at({}),
    at({ tls: { kind: "encrypted" } }),
    at({ stsTesting: true }),
    at({ authentic: true }),
    at({ authentic: true, tls: { kind: "encrypted" } }),
    at({ tls: verified }),
    at({ authentic: true, tls: dane }),
  ];

  test("with REQUIRETLS are those that are known for certain, verified and bound", () => {
    expect(permittedHops(all, { requireTls: true, sender: "user1@example.org" })).toEqual([
      at({ authentic: true, tls: verified, requireTls: true }),
      at({ authentic: true, tls: verified, requireTls: true }),
      at({ tls: verified, requireTls: true }),
      at({ authentic: true, tls: dane, requireTls: true }),
    ]);
  });

  test("of a report about one are as certain, but need not know the extension", () => {
    const hops = permittedHops([at({}), at({ tls: verified })], { requireTls: true, sender: "" });
    expect(hops).toEqual([at({ tls: verified, requireTls: false })]);
  });

  test("without it are all, as they are", () => {
    expect(permittedHops(all, { sender: "user1@example.org" })).toBe(all);
    expect(permittedHops(all, { tlsOptional: true, sender: "user1@example.org" })).toBe(all);
  });

  test("are another destination for each wish", () => {
    const wishes = [{}, { requireTls: true }, { tlsOptional: true }].map((more) =>
      tlsRequestSuffix({ sender: "user1@example.org", ...more }),
    );
    expect(wishes).toEqual(["", " (REQUIRETLS)", " (TLS not required)"]);
  });

  test("are as REQUIRETLS has it where an envelope has both wishes", () => {
    const both = { sender: "user1@example.org", requireTls: true, tlsOptional: true };
    expect(isTlsOptional(both)).toBe(false);
    expect(isTlsOptional({ ...both, requireTls: false })).toBe(true);
    expect(tlsRequestSuffix(both)).toBe(" (REQUIRETLS)");
  });
});

describe("a message", () => {
  let pair: SelfSigned;
  let other: SelfSigned;
  beforeAll(() => {
    pair = selfSigned(["mx.example.net"]);
    other = selfSigned(["www.example.net"]);
  });
  const able = { EHLO: "250-fake\n250-STARTTLS\n250 REQUIRETLS" };
  const unable = { EHLO: "250-fake\n250 STARTTLS" };
  const open = (script: Script, certificate = pair): Promise<FakeServer> =>
    server(script, { tls: createSecureContext(certificate) });

  /** What the DNS and the web say of example.net, whose one host is mx.example.net. */
  interface Domain {
    readonly authentic?: boolean;
    readonly tlsa?: "right" | "wrong" | "trouble";
    readonly policy?: StsPolicy["mode"];
  }

  async function byMx(
    at: FakeServer,
    domain: Domain,
    envelope: Partial<Envelope>,
    more: Partial<TransportSettings> = {},
  ) {
    logTo(({ text }: LogEntry) => lines.push(text));
    const { authentic = domain.tlsa !== undefined, tlsa, policy } = domain;
    const right = createHash("sha256").update(new X509Certificate(pair.cert).raw).digest();
    const record = {
      usage: 3,
      selector: 0,
      matching: 1,
      data: tlsa === "right" ? right : new Uint8Array(32),
    };
    const resolver: Resolver = {
      mx: async () => ({ kind: "found", values: [{ exchange: "mx.example.net", priority: 0 }], authentic }),
      ipv4: async () => ({ kind: "found", values: ["127.0.0.1"], authentic }),
      ipv6: async () => ({ kind: "nothing", authentic }),
      txt: async () => ({ kind: "nothing" }),
      signed: {
        tlsa: async () => {
          if (tlsa === "trouble") return { kind: "trouble", reason: "ESERVFAIL" };
          return tlsa ? { kind: "found", values: [record], authentic } : { kind: "nothing", authentic };
        },
        cname: async () => ({ kind: "nothing", authentic }),
      },
    };
    const policies: StsPolicies = {
      of: async () => policy && { mode: policy, mx: ["mx.example.net"], maxAge: 60 },
    };
    const routing = {
      resolver,
      hostname: "submission.example.org",
      port: at.port,
      privateAddresses: true,
      random: () => 0.5,
    };
    const transport = mxTransport(
      routing,
      policies,
      transportSettings({ ca: pair.cert, ...more }),
      () => 1000,
    );
    return replies(await transport.deliver(outgoing(envelope), new AbortController().signal))[0];
  }

  async function byRelays(
    relays: readonly RelayHost[],
    envelope: Partial<Envelope>,
    more: Partial<TransportSettings> = {},
  ) {
    logTo(({ text }: LogEntry) => lines.push(text));
    const lookup = async () => ["127.0.0.1"];
    const transport = relayTransport(
      relays,
      { lookup },
      transportSettings({ ca: pair.cert, ...more }),
      () => 1000,
    );
    return replies(await transport.deliver(outgoing(envelope), new AbortController().signal))[0];
  }
  const mx = ({ port }: { readonly port: number }): RelayHost => ({ host: "mx.example.net", port });
  const mailIn = ({ commands }: FakeServer) => commands.filter((command) => command.startsWith("MAIL"));

  describe("with REQUIRETLS", () => {
    const wish = { requireTls: true };

    test.each<readonly [string, Domain]>([
      ["whose MX records are signed", { authentic: true }],
      ["that TLSA records are about", { tlsa: "right" }],
      ["that an MTA-STS policy lists", { policy: "enforce" }],
    ])("goes on with it to a host %s", async (_, domain) => {
      const at = await open(able);
      expect(await byMx(at, domain, wish)).toBe("250 2.0.0 queued as F00");
      expect(mailIn(at)).toEqual(["MAIL FROM:<user1@example.org> REQUIRETLS"]);
      expect(at.received.map(({ secure }) => secure)).toEqual([true]);
    });

    test.each<readonly [string, Domain]>([
      ["that nobody vouches for", {}],
      ["that an MTA-STS policy in testing lists", { policy: "testing" }],
    ])("goes back, without a connection, where there is only a host %s", async (_, domain) => {
      const at = await open(able);
      expect(await byMx(at, domain, wish)).toMatch(/^550 5\.7\.10 .*REQUIRETLS/);
      expect(at.connections()).toBe(0);
    });

    test("goes on with it to a relay that the operator named, verified", async () => {
      const at = await open(able);
      expect(await byRelays([mx(at)], wish)).toBe("250 2.0.0 queued as F00");
      expect(mailIn(at)).toEqual(["MAIL FROM:<user1@example.org> REQUIRETLS"]);
      expect(lines).toContainEqual(expect.stringMatching(/^Verified TLS/));
    });

    test.each<readonly [string, Script, () => SelfSigned, RegExp]>([
      [
        "does not offer it",
        unable,
        () => pair,
        /^550 5\.7\.30 .*REQUIRETLS, which mx\.example\.net\[127\.0\.0\.1\] does not/,
      ],
      [
        "offers it in the clear only",
        { STARTTLS: "502 5.5.1 what?" },
        () => pair,
        /^550 5\.7\.10 TLS is required/,
      ],
      ["fails the handshake", { ...able, handshake: close }, () => pair, /^550 5\.7\.10 Cannot start TLS/],
      ["has a certificate that nobody knows", able, () => other, /^550 5\.7\.10 .*self-signed/],
    ])("goes back, and nothing of it went out, when the host %s", async (_, script, certificate, reason) => {
      const at = await open(script, certificate());
      expect(await byMx(at, { authentic: true }, wish)).toMatch(reason);
      expect(mailIn(at)).toEqual([]);
    });

    test("goes back when the TLSA records are about another certificate", async () => {
      const at = await open(able);
      expect(await byMx(at, { tlsa: "wrong" }, wish)).toMatch(/^550 5\.7\.10 .*\(DANE\)$/);
      expect(mailIn(at)).toEqual([]);
    });

    test("goes to the next host when one is none for it", async () => {
      const [first, second] = [await open(unable), await open(able)];
      expect(await byRelays([mx(first), mx(second)], wish)).toBe("250 2.0.0 queued as F00");
      expect([mailIn(first).length, mailIn(second).length]).toEqual([0, 1]);
    });

    test.each([true, false])(
      "waits while another host cannot be reached (that one first: %s)",
      async (first) => {
        const gone = await open(able);
        await gone.close();
        const at = await open(unable);
        const relays = first ? [mx(gone), mx(at)] : [mx(at), mx(gone)];
        expect(await byRelays(relays, wish)).toMatch(/^451 4\.4\.1 /);
      },
    );
  });

  describe("that reports about one with REQUIRETLS", () => {
    const report = { requireTls: true, sender: "", login: null };

    test("goes on with it where it is offered, and without where it is not, always verified", async () => {
      const [one, another] = [await open(able), await open(unable)];
      expect(await byMx(one, { authentic: true }, report)).toBe("250 2.0.0 queued as F00");
      expect(await byMx(another, { authentic: true }, report)).toBe("250 2.0.0 queued as F00");
      expect([...mailIn(one), ...mailIn(another)]).toEqual(["MAIL FROM:<> REQUIRETLS", "MAIL FROM:<>"]);
      expect(lines.filter((line) => line.startsWith("Verified TLS"))).toHaveLength(2);
    });

    test("waits where TLS fails", async () => {
      const at = await open(unable, other);
      expect(await byMx(at, { authentic: true }, report)).toMatch(/^451 4\.7\.5 /);
      expect(mailIn(at)).toEqual([]);
    });
  });

  describe("with TLS-Required: No", () => {
    const wish = { tlsOptional: true };

    test.each<readonly [string, Domain, Script, boolean]>([
      ["an MTA-STS policy", { policy: "enforce" }, unable, true],
      [
        "an MTA-STS policy, in clear if need be,",
        { policy: "enforce" },
        { ...unable, handshake: close },
        false,
      ],
      ["TLSA records", { tlsa: "wrong" }, unable, true],
      ["TLSA records that nobody can tell", { tlsa: "trouble" }, unable, true],
      ["TLSA records, in clear if need be,", { tlsa: "wrong" }, { STARTTLS: "502 5.5.1 what?" }, false],
    ])("goes in spite of %s", async (_, domain, script, secure) => {
      const at = await open(script, other);
      expect(await byMx(at, domain, wish)).toBe("250 2.0.0 queued as F00");
      expect(at.received.map((one) => one.secure)).toEqual([secure]);
    });

    test("does not go in spite of what the operator demands", async () => {
      const at = await open(unable, other);
      expect(await byRelays([mx(at)], wish, { tls: "verified" })).toMatch(/^451 4\.7\.5 /);
      expect(at.received).toEqual([]);
    });
  });
});
