import { describe, expect, test } from "vitest";
import { cachingResolver, type Resolver, systemResolver } from "../../../src/server/delivery/dns/resolver.ts";
import { hopsByMx, hopsOfRelay, type MxSettings } from "../../../src/server/delivery/mx.ts";
import type { NextHop } from "../../../src/server/delivery/next-hop.ts";
import type { Reply } from "../../../src/smtp/reply.ts";

/**
 * A zone: `MX name` gives "preference host", `A name` and `AAAA name` addresses; a text is node:dns's error
 * code.
 */
type Zone = Readonly<Record<string, readonly string[] | string>>;

function resolverOf(zone: Zone, asked: string[] = []): Resolver {
  const look = async (type: string, name: string): Promise<readonly string[]> => {
    asked.push(`${type} ${name}`);
    const found = zone[`${type} ${name}`];
    if (typeof found === "string") throw Object.assign(new Error(found), { code: found });
    if (found) return found;
    const code = Object.keys(zone).some((key) => key.endsWith(` ${name}`)) ? "ENODATA" : "ENOTFOUND";
    throw Object.assign(new Error(code), { code });
  };
  return systemResolver({
    resolveMx: async (name) =>
      (await look("MX", name)).map((record) => {
        const [priority = "", exchange = ""] = record.split(" ");
        return { priority: Number(priority), exchange };
      }),
    resolve4: (name) => look("A", name),
    resolve6: (name) => look("AAAA", name),
    resolveTxt: (name) => look("TXT", name).then((texts) => texts.map((text) => [text])),
  });
}

function routing(zone: Zone, more: Partial<MxSettings> = {}): MxSettings {
  return {
    resolver: resolverOf(zone),
    hostname: "submission.example.org",
    port: 25,
    privateAddresses: false,
    random: () => 0.5,
    ...more,
  };
}

/** `host[address]` of each hop, or the reply. */
const shown = (route: readonly NextHop[] | Reply): readonly string[] | string =>
  "code" in route
    ? `${route.code} ${route.status} ${route.text}`
    : route.map(({ host, address }) => `${host}[${address}]`);

const cases: readonly {
  readonly name: string;
  readonly domain?: string;
  readonly zone: Zone;
  readonly hops: readonly string[] | string;
}[] = [
  {
    name: "hosts come in order of preference",
    zone: {
      "MX example.net": ["20 b.example.net", "10 a.example.net"],
      "A a.example.net": ["192.0.2.1"],
      "A b.example.net": ["192.0.2.2"],
    },
    hops: ["a.example.net[192.0.2.1]", "b.example.net[192.0.2.2]"],
  },
  {
    name: "a host has addresses of both families",
    zone: {
      "MX example.net": ["10 MX.Example.Net."],
      "A mx.example.net": ["192.0.2.1"],
      "AAAA mx.example.net": ["2001:db8::1"],
    },
    hops: ["mx.example.net[2001:db8::1]", "mx.example.net[192.0.2.1]"],
  },
  {
    name: "a domain without MX is its own host",
    zone: { "A example.net": ["192.0.2.1"] },
    hops: ["example.net[192.0.2.1]"],
  },
  {
    name: "a CNAME to a name without MX comes as an empty answer",
    zone: { "MX example.net": [], "A example.net": ["192.0.2.1"] },
    hops: ["example.net[192.0.2.1]"],
  },
  {
    name: "a null MX takes no mail",
    zone: { "MX example.net": ["0 "], "A example.net": ["192.0.2.1"] },
    hops: "556 5.1.10 the domain example.net takes no mail (null MX)",
  },
  {
    name: "a null MX beside others counts for nothing",
    zone: { "MX example.net": ["0 ", "10 mx.example.net"], "A mx.example.net": ["192.0.2.1"] },
    hops: ["mx.example.net[192.0.2.1]"],
  },
  { name: "a domain that is not there", zone: {}, hops: "550 5.1.2 the domain example.net does not exist" },
  {
    name: "no answer about the MX is temporary",
    zone: { "MX example.net": "ETIMEOUT", "A example.net": ["192.0.2.1"] },
    hops: "451 4.4.3 the DNS does not tell where mail for example.net goes (ETIMEOUT)",
  },
  {
    name: "a failing name server is temporary",
    zone: { "MX example.net": "ESERVFAIL" },
    hops: "451 4.4.3 the DNS does not tell where mail for example.net goes (ESERVFAIL)",
  },
  {
    name: "a host without an answer is passed over",
    zone: {
      "MX example.net": ["10 a.example.net", "20 b.example.net"],
      "A a.example.net": "ESERVFAIL",
      "AAAA a.example.net": "ESERVFAIL",
      "A b.example.net": ["192.0.2.2"],
    },
    hops: ["b.example.net[192.0.2.2]"],
  },
  {
    name: "hosts without an answer are temporary",
    zone: { "MX example.net": ["10 a.example.net"], "A a.example.net": "ESERVFAIL" },
    hops: "451 4.4.3 the DNS does not tell where mail for example.net goes (ESERVFAIL)",
  },
  {
    name: "hosts without an address are for good",
    zone: { "MX example.net": ["10 a.example.net"] },
    hops: "550 5.4.4 no mail server of example.net has an address",
  },
  {
    name: "ourselves, and hosts that come after us, are left out",
    zone: {
      "MX example.net": ["10 a.example.net", "20 Submission.Example.Org", "30 c.example.net"],
      "A a.example.net": ["192.0.2.1"],
      "A c.example.net": ["192.0.2.3"],
    },
    hops: ["a.example.net[192.0.2.1]"],
  },
  {
    name: "ourselves alone is a loop",
    zone: { "MX example.net": ["10 submission.example.org"], "A submission.example.org": ["192.0.2.9"] },
    hops: "554 5.4.6 mail for example.net would come back to this host: its MX records name submission.example.org",
  },
  {
    name: "hosts with impossible names are left out",
    zone: {
      "MX example.net": ["10 a\\013\\010b.example.net", "10 192.0.2.7", "20 b.example.net"],
      "A b.example.net": ["192.0.2.2"],
      "A 192.0.2.7": ["192.0.2.7"],
    },
    hops: ["b.example.net[192.0.2.2]"],
  },
  {
    name: "impossible names alone are for good",
    zone: { "MX example.net": ["10 192.0.2.7"] },
    hops: "550 5.4.4 no mail server of example.net has an address",
  },
  {
    name: "loopback, private, link-local and multicast addresses are left out",
    zone: {
      "MX example.net": ["10 mx.example.net"],
      "A mx.example.net": ["127.0.0.1", "10.1.2.3", "169.254.169.254", "192.0.2.1", "224.0.0.1", "0.0.0.0"],
      "AAAA mx.example.net": [
        "::1",
        "fe80::1",
        "fd00::1",
        "::ffff:127.0.0.1",
        "ff02::1",
        "2001:db8::1",
        "::",
      ],
    },
    hops: ["mx.example.net[192.0.2.1]", "mx.example.net[2001:db8::1]"],
  },
  {
    name: "such addresses alone are for good",
    zone: { "MX example.net": ["0 localhost"], "A localhost": ["127.0.0.1"] },
    hops: "550 5.4.4 the mail servers of example.net have no address that is reachable from outside",
  },
  {
    name: "a domain with U-labels is asked for in A-labels",
    domain: "b\u00fccher.example",
    zone: {
      "MX xn--bcher-kva.example": ["10 mx.xn--bcher-kva.example"],
      "A mx.xn--bcher-kva.example": ["192.0.2.1"],
    },
    hops: ["mx.xn--bcher-kva.example[192.0.2.1]"],
  },
  { name: "an IPv4 literal", domain: "[192.0.2.1]", zone: {}, hops: ["192.0.2.1[192.0.2.1]"] },
  { name: "an IPv6 literal", domain: "[IPv6:2001:db8::1]", zone: {}, hops: ["2001:db8::1[2001:db8::1]"] },
  {
    name: "a literal that leads inside",
    domain: "[127.0.0.1]",
    zone: {},
    hops: "550 5.4.4 the mail servers of [127.0.0.1] have no address that is reachable from outside",
  },
  ...["127.1", "0x7f.1", "2130706433", "\uff11\uff12\uff17.1", "-.example", "a..b", ""].map((domain) => ({
    name: `"${domain}" is no domain`,
    domain,
    zone: {},
    hops: `550 5.1.2 ${domain} is no domain that mail can go to`,
  })),
];

describe("the way by MX", () => {
  test.each(cases)("$name", async ({ domain = "example.net", zone, hops }) => {
    expect(shown(await hopsByMx(domain, routing(zone)))).toEqual(hops);
  });

  test("hosts of equal preference come in random order", async () => {
    const zone = {
      "MX example.net": ["10 a.example.net", "10 b.example.net"],
      "A a.example.net": ["192.0.2.1"],
      "A b.example.net": ["192.0.2.2"],
    };
    const orders = [
      [0.1, 0.9, 0, 0],
      [0.9, 0.1, 0, 0],
    ].map(async (chances) => {
      const random = (): number => chances.shift() ?? 0;
      return shown(await hopsByMx("example.net", routing(zone, { random })));
    });
    expect(await Promise.all(orders)).toEqual([
      ["a.example.net[192.0.2.1]", "b.example.net[192.0.2.2]"],
      ["b.example.net[192.0.2.2]", "a.example.net[192.0.2.1]"],
    ]);
  });

  test("a host's addresses alternate between the families, so that one that leads nowhere does not use up all tries", async () => {
    const zone = {
      "MX example.net": ["10 mx.example.net"],
      "A mx.example.net": ["192.0.2.1", "192.0.2.2"],
      "AAAA mx.example.net": ["2001:db8::1", "2001:db8::2", "2001:db8::3"],
    };
    expect(shown(await hopsByMx("example.net", routing(zone)))).toEqual(
      ["2001:db8::1", "192.0.2.1", "2001:db8::2", "192.0.2.2", "2001:db8::3"].map(
        (address) => `mx.example.net[${address}]`,
      ),
    );
  });

  test("a domain with a thousand hosts is asked for ten, and twenty addresses are tried", async () => {
    const hosts = Array.from({ length: 1000 }, (_, number) => `h${number}.example.net`);
    const asked: string[] = [];
    const zone: Zone = {
      "MX example.net": hosts.map((host, preference) => `${preference} ${host}`),
      ...Object.fromEntries(hosts.map((host) => [`A ${host}`, ["192.0.2.1", "192.0.2.2", "192.0.2.3"]])),
    };
    const hops = await hopsByMx("example.net", routing(zone, { resolver: resolverOf(zone, asked) }));
    expect(asked).toHaveLength(1 + 2 * 10);
    expect(hops).toHaveLength(20);
  });

  test("addresses inside are used where they are allowed, on the port that is set", async () => {
    const zone = { "A example.net": ["127.0.0.1"] };
    expect(await hopsByMx("example.net", routing(zone, { privateAddresses: true, port: 2525 }))).toEqual([
      { host: "example.net", address: "127.0.0.1", port: 2525 },
    ]);
  });
});

describe("the way to a relay", () => {
  test("is its address, or all that its name has", async () => {
    const lookup = async (): Promise<readonly string[]> => ["::1", "127.0.0.1"];
    expect(shown(await hopsOfRelay("192.0.2.1", 25, lookup))).toEqual(["192.0.2.1[192.0.2.1]"]);
    expect(shown(await hopsOfRelay("localhost", 25, lookup))).toEqual([
      "localhost[::1]",
      "localhost[127.0.0.1]",
    ]);
  });

  test("waits until its name is known", async () => {
    const lookup = async (): Promise<readonly string[]> => {
      throw Object.assign(new Error("no"), { code: "ENOTFOUND" });
    };
    expect(shown(await hopsOfRelay("relay.example.org", 25, lookup))).toBe(
      "451 4.4.4 the relay relay.example.org has no address: check relay and the DNS",
    );
  });
});

describe("a resolver with a memory", () => {
  const zone: Record<string, readonly string[] | string> = {
    "MX example.net": ["10 mx.example.net"],
    "A trouble.example.net": "ESERVFAIL",
  };

  test("asks once in five minutes, after a minute again for what was not there, and again after trouble", async () => {
    const asked: string[] = [];
    let now = 0;
    const resolver = cachingResolver(resolverOf(zone, asked), () => now);
    const minute = 60_000;
    for (const at of [0, 0.5, 2, 4.9, 5.1].map((time) => time * minute)) {
      now = at;
      await resolver.mx("example.net");
      await resolver.ipv4("nothing.example.net");
      await resolver.ipv4("trouble.example.net");
    }
    const times = (question: string): number => asked.filter((one) => one === question).length;
    expect(times("MX example.net")).toBe(2);
    expect(times("A nothing.example.net")).toBe(3);
    expect(times("A trouble.example.net")).toBe(5);
  });

  test("asks again as soon as an answer's own time to live is over", async () => {
    let asked = 0;
    let now = 0;
    const resolver = cachingResolver(
      {
        ...resolverOf({}),
        ipv4: async () => ({ kind: "found", values: [`192.0.2.${++asked}`], ttl: 30 }),
      },
      () => now,
    );
    const answers: unknown[] = [];
    for (const at of [0, 29_000, 31_000]) {
      now = at;
      answers.push(await resolver.ipv4("mx.example.net"));
    }
    expect(answers).toMatchObject([
      { values: ["192.0.2.1"] },
      { values: ["192.0.2.1"] },
      { values: ["192.0.2.2"] },
    ]);
  });

  test("asks once for all who ask at the same time", async () => {
    const asked: string[] = [];
    const resolver = cachingResolver(resolverOf(zone, asked), () => 0);
    await Promise.all(Array.from({ length: 10 }, () => resolver.mx("example.net")));
    expect(asked).toEqual(["MX example.net"]);
  });
});
