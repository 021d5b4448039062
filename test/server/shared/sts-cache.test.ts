/** An MTA-STS policy that one host fetched holds on the others. */
import { beforeEach, describe, expect, test } from "vitest";
import type { DnsAnswer } from "../../../src/server/delivery/dns/resolver.ts";
import { openStsPolicies, type PolicyFetcher } from "../../../src/server/delivery/tls/mta-sts.ts";
import { openSharedStsCache } from "../../../src/server/shared/sts-cache.ts";
import { real } from "../../tools/real.ts";
import { sharedDatabases } from "./databases.ts";

const start = Date.UTC(2026, 10, 22, 12);
const day = 86_400_000;

describe.skipIf(!real("postgresql"))("an MTA-STS policy that one host fetched", () => {
  const databases = sharedDatabases();
  let url = "";
  let time = start;
  let id: string | undefined = "1";
  let fetched = 0;
  beforeEach(async () => {
    url = await databases.make();
    time = start;
    id = "1";
    fetched = 0;
  });

  const resolver = {
    txt: async (): Promise<DnsAnswer<string>> =>
      id === undefined ? { kind: "unknown" } : { kind: "found", values: [`v=STSv1; id=${id};`] },
  };
  const fetchPolicy: PolicyFetcher = async () => {
    fetched++;
    return {
      text: `version: STSv1\nmode: enforce\nmx: mx${fetched}.example.net\nmax_age: ${(3 * day) / 1_000}\n`,
    };
  };

  async function open() {
    const cache = databases.open(await openSharedStsCache(await databases.connect(url)));
    const policies = await openStsPolicies(resolver, fetchPolicy, cache, () => time);
    return { cache, mx: async () => (await policies.of("example.net"))?.mx };
  }

  test("is not fetched by the others, and holds there where its record is kept from them", async () => {
    const [one, other] = [await open(), await open()];
    expect(await one.mx()).toEqual(["mx1.example.net"]);
    await other.cache.look();
    id = undefined;
    expect(await other.mx()).toEqual(["mx1.example.net"]);
    expect(fetched).toBe(1);
  });

  test("and fetched again holds there as well, also past the end of the first", async () => {
    const [one, other] = [await open(), await open()];
    await one.mx();
    await other.cache.look();
    await other.mx();
    time += 2 * day;
    id = "2";
    expect(await one.mx()).toEqual(["mx2.example.net"]);
    await other.cache.look();
    expect(await other.mx()).toEqual(["mx2.example.net"]);
    expect(fetched).toBe(2);
    time += 2 * day;
    id = undefined;
    expect(await other.mx()).toEqual(["mx2.example.net"]);
  });

  test("is not taken away by a host whose own copy is older", async () => {
    const one = await open();
    await one.mx();
    const row = { domain: "example.net", id: "1", fetched: start + day, used: start };
    const policy = { mode: "none", mx: [], maxAge: 86_400 } as const;
    const other = databases.open(await openSharedStsCache(await databases.connect(url)));
    await other.keep({ ...row, policy }, "version: STSv1\nmode: none\nmax_age: 86400\n");
    await one.cache.drop("example.net", start);
    expect(await other.all()).toEqual([{ ...row, policy }]);
    await one.cache.drop("example.net", start + day);
    expect(await other.all()).toEqual([]);
  });

  test("replaces one of a host whose clock is ahead", async () => {
    const one = await open();
    time += 600_000;
    await one.mx();
    time -= 600_000;
    id = "2";
    const other = await open();
    expect(await other.mx()).toEqual(["mx2.example.net"]);
    expect(await other.mx()).toEqual(["mx2.example.net"]);
    expect(fetched).toBe(2);
  });
});
