import { describe, expect, test } from "vitest";
import { type DnsQueries, evaluateSpf } from "../../../src/probe/checkup/spf.ts";

/** A DNS of the records given, `NAME TYPE` -> values; "SERVFAIL" is trouble. */
function namesOf(zone: Readonly<Record<string, readonly string[]>>): DnsQueries {
  const ask = async (name: string, type: string): Promise<readonly string[]> => {
    const found = zone[`${name} ${type}`];
    if (!found) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    if (found[0] === "SERVFAIL") throw Object.assign(new Error("trouble"), { code: "ESERVFAIL" });
    return found;
  };
  return {
    resolve4: (name) => ask(name, "A"),
    resolve6: (name) => ask(name, "AAAA"),
    resolveTxt: async (name) => (await ask(name, "TXT")).map((text) => [text.slice(0, 10), text.slice(10)]),
    resolveMx: async (name) => (await ask(name, "MX")).map((exchange) => ({ exchange, priority: 10 })),
    resolveCname: (name) => ask(name, "CNAME"),
    resolveSrv: async () => [],
    reverse: (address) => ask(address, "PTR"),
  };
}

const domain = "example.org TXT";

describe("SPF", () => {
  test.each([
    ["no record", {}, "none"],
    ["other texts", { [domain]: ["v=spf10 -all", "x"] }, "none"],
    ["two records", { [domain]: ["v=spf1 -all", "v=spf1 +all"] }, "permerror"],
    ["trouble", { [domain]: ["SERVFAIL"] }, "temperror"],
    ["an address", { [domain]: ["v=spf1 ip4:192.0.2.7 -all"] }, "pass"],
    ["a network", { [domain]: ["v=spf1 ip4:192.0.2.0/24 -all"] }, "pass"],
    ["another network", { [domain]: ["v=spf1 ip4:198.51.100.0/24 -all"] }, "fail"],
    ["another kind of address", { [domain]: ["v=spf1 ip6:2001:db8::/32 ~all"] }, "softfail"],
    ["no end", { [domain]: ["v=spf1 ip4:198.51.100.1"] }, "neutral"],
    ["its own host", { [domain]: ["v=spf1 a -all"], "example.org A": ["192.0.2.7"] }, "pass"],
    [
      "another host's network",
      { [domain]: ["v=spf1 a:mail.example.org/24 -all"], "mail.example.org A": ["192.0.2.99"] },
      "pass",
    ],
    [
      "another host's network of IPv6",
      { [domain]: ["v=spf1 a:mail.example.org//64 -all"], "mail.example.org A": ["192.0.2.99"] },
      "fail",
    ],
    [
      "its mail hosts",
      {
        [domain]: ["v=spf1 mx -all"],
        "example.org MX": ["mx.example.org"],
        "mx.example.org A": ["192.0.2.7"],
      },
      "pass",
    ],
    [
      "an include that passes",
      {
        [domain]: ["v=spf1 include:spf.example.net -all"],
        "spf.example.net TXT": ["v=spf1 ip4:192.0.2.0/24 -all"],
      },
      "pass",
    ],
    [
      "an include that fails",
      { [domain]: ["v=spf1 include:spf.example.net ?all"], "spf.example.net TXT": ["v=spf1 -all"] },
      "neutral",
    ],
    ["an include of nothing", { [domain]: ["v=spf1 include:spf.example.net -all"] }, "permerror"],
    [
      "a redirect",
      { [domain]: ["v=spf1 redirect=spf.example.net"], "spf.example.net TXT": ["v=spf1 ip4:192.0.2.7 -all"] },
      "pass",
    ],
    ["a loop", { [domain]: ["v=spf1 include:example.org -all"] }, "permerror"],
    ["macros", { [domain]: ["v=spf1 exists:%{i}.example.net -all"] }, "unknown"],
    ["a mechanism that nobody knows", { [domain]: ["v=spf1 b -all"] }, "permerror"],
    ["a prefix that is none", { [domain]: ["v=spf1 ip4:192.0.2.0/99 -all"] }, "permerror"],
    ["other modifiers", { [domain]: ["v=spf1 exp=why.example.org ip4:192.0.2.7 -all"] }, "pass"],
  ] satisfies readonly (readonly [string, Readonly<Record<string, readonly string[]>>, string])[])(
    "with %s is %#",
    async (_, zone, expected) => {
      expect(await evaluateSpf("example.org", "192.0.2.7", namesOf(zone))).toBe(expected);
    },
  );

  test("knows IPv6", async () => {
    const names = namesOf({ [domain]: ["v=spf1 ip6:2001:db8::/32 -all"] });
    expect(await evaluateSpf("example.org", "2001:db8::25", names)).toBe("pass");
    expect(await evaluateSpf("example.org", "2001:db9::25", names)).toBe("fail");
  });
});
