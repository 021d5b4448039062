import { describe, expect, test } from "vitest";
import { countSpfQuestions, evaluateSpf } from "../../../src/probe/checkup/spf.ts";
import { namesOf } from "./names.ts";

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

describe("SPF's questions", () => {
  const many = (count: number): string =>
    Array.from({ length: count }, (_, index) => `exists:${index}.example.org`).join(" ");

  test.each([
    ["no record", {}, [0, 0, false]],
    ["addresses alone", { [domain]: ["v=spf1 ip4:192.0.2.7 ip6:2001:db8::1 -all"] }, [0, 0, false]],
    [
      "a host, the mail hosts, and one that is not there",
      {
        [domain]: ["v=spf1 a mx a:gone.example.org/24 -all"],
        "example.org A": ["192.0.2.7"],
        "example.org MX": ["mx.example.org"],
      },
      [3, 1, false],
    ],
    [
      "records in records",
      {
        [domain]: ["v=spf1 include:a.example.net redirect=b.example.net"],
        "a.example.net TXT": ["v=spf1 include:c.example.net -all"],
        "c.example.net TXT": ["v=spf1 exists:%{i}.example.net ?all ptr"],
        "b.example.net TXT": ["v=spf1 ptr -all"],
      },
      [5, 0, false],
    ],
    ["too many", { [domain]: [`v=spf1 ${many(11)} -all`] }, [11, 0, false]],
    ["a record that includes itself", { [domain]: ["v=spf1 include:example.org -all"] }, [40, 0, false]],
    ["one that is not there", { [domain]: ["v=spf1 include:gone.example.net -all"] }, [1, 1, false]],
    [
      "trouble",
      { [domain]: ["v=spf1 include:x.example.net"], "x.example.net TXT": ["SERVFAIL"] },
      [1, 0, true],
    ],
  ])("%s", async (_, zone, expected) => {
    const { questions, empty, trouble } = await countSpfQuestions("example.org", namesOf(zone));
    expect([questions, empty, trouble]).toEqual(expected);
  });
});
