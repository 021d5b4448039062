import { expect, test } from "vitest";
import { type Exchanger, mailHosts } from "../../src/probe/mail-hosts.ts";

const zone: Readonly<Record<string, readonly Exchanger[]>> = {
  "three.example.org": [
    { exchange: "worst.example.net", priority: 30 },
    { exchange: "best.example.net", priority: 10 },
    { exchange: "good.example.net.", priority: 20 },
  ],
  "null.example.org": [{ exchange: "", priority: 0 }],
  "none.example.org": [],
};

test.each([
  [
    "all exchangers, the best first",
    "three.example.org",
    ["best.example.net", "good.example.net", "worst.example.net"],
  ],
  ["a domain without exchangers is its own", "none.example.org", ["none.example.org"]],
  ["a null MX means nobody", "null.example.org", []],
  ["an address of version 4", "[192.0.2.1]", ["192.0.2.1"]],
  ["an address of version 6", "[IPv6:2001:db8::1]", ["2001:db8::1"]],
  ["the same without its tag", "[2001:db8::1]", ["2001:db8::1"]],
  ["a number", "#3221225985", ["192.0.2.1"]],
  ["a user without a domain", "", ["localhost"]],
])("%s", async (_, domain, hosts) => {
  expect(await mailHosts(domain, async (name) => zone[name] ?? [])).toEqual(hosts);
});

test.each(["[192.0.2.256]", "#99999999999", "#4294967296", "#x"])(
  "%s is no address: the DNS is asked",
  async (domain) => {
    const asked: string[] = [];
    const hosts = await mailHosts(domain, async (name) => {
      asked.push(name);
      return [];
    });
    expect(asked).toEqual([domain]);
    expect(hosts).toEqual([domain]);
  },
);
