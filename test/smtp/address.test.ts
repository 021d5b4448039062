import { describe, expect, it } from "vitest";
import { addressLiteral, asciiDomain, domainOf, readPath } from "../../src/smtp/address.ts";

/** What follows "MAIL FROM:", and the address and parameters read from it; undefined where it is refused. */
const paths: readonly (readonly [string, { address: string; local?: string; rest?: string } | undefined])[] =
  [
    ["<user1@example.org>", { address: "user1@example.org", local: "user1" }],
    [
      "<user1@example.org> SIZE=100 BODY=8BITMIME",
      { address: "user1@example.org", rest: "SIZE=100 BODY=8BITMIME" },
    ],
    ["<>", { address: "", local: "" }],
    ["<> SIZE=1", { address: "", rest: "SIZE=1" }],
    ["<Postmaster>", { address: "Postmaster", local: "Postmaster" }],
    ["<a.b+c@example.org>  ", { address: "a.b+c@example.org", local: "a.b+c" }],
    ['<"a b"@example.org>', { address: '"a b"@example.org', local: "a b" }],
    ['<"a>b@c"@example.org> RET=FULL', { address: '"a>b@c"@example.org', local: "a>b@c", rest: "RET=FULL" }],
    ['<"a\\"b"@example.org>', { address: '"a\\"b"@example.org', local: 'a"b' }],
    ["<@relay.example.net,@b.example.net:user1@example.org>", { address: "user1@example.org" }],
    ["<user1@[192.0.2.1]>", { address: "user1@[192.0.2.1]" }],
    ["<user1@[IPv6:2001:db8::1]>", { address: "user1@[IPv6:2001:db8::1]" }],
    ["<jörg@exämple.org>", { address: "jörg@exämple.org", local: "jörg" }],
    ["<user1>", { address: "user1", local: "user1" }],
    [`<${"a".repeat(64)}@example.org>`, { address: `${"a".repeat(64)}@example.org` }],
    [`<${"a".repeat(65)}@example.org>`, undefined],
    [`<a@${"b".repeat(254)}.c>`, undefined],
    ["user1@example.org", undefined],
    ["<user1@example.org", undefined],
    ["<user1@@example.org>", undefined],
    ["<user1@example..org>", undefined],
    ["<.user1@example.org>", undefined],
    ["<user 1@example.org>", undefined],
    ["<user1@exam ple.org>", undefined],
    ["<user1@-example.org>", undefined],
    ["<user1@[300.0.2.1]>", undefined],
    ["<us\ter1@example.org>", undefined],
    ['<"a\nb"@example.org>', undefined],
    ["<a@example.org>SIZE=1", undefined],
    ["", undefined],
  ];

describe("readPath()", () => {
  it.each(paths)("reads %s as RFC 5321 section 4.1.2 has it", (argument, expected) => {
    const found = readPath(argument);
    if (expected === undefined) expect(found).toBeUndefined();
    else {
      expect(found?.path.address).toBe(expected.address);
      expect(found?.rest).toBe(expected.rest ?? "");
      if (expected.local !== undefined) expect(found?.path.local).toBe(expected.local);
    }
  });

  it("reads a hostile path in time that grows with its length only", () => {
    // Exponential matching would run into the runner's time limit.
    expect(readPath(`<${'"\\a"'.repeat(20_000)}@`)).toBeUndefined();
    expect(readPath(`<@${"a,@".repeat(20_000)}:x`)).toBeUndefined();
  });
});

describe("domains", () => {
  it("become lower-case A-labels for the DNS", () => {
    expect(asciiDomain("EXÄMPLE.org")).toBe("xn--exmple-cua.org");
    expect(asciiDomain("[192.0.2.1]")).toBe("[192.0.2.1]");
    expect(asciiDomain("exa mple.org")).toBeUndefined();
  });

  it("may be address literals", () => {
    expect(addressLiteral("[192.0.2.1]")).toBe("192.0.2.1");
    expect(addressLiteral("[IPv6:2001:db8::1]")).toBe("2001:db8::1");
    expect(addressLiteral("[2001:db8::1]")).toBeUndefined();
    expect(addressLiteral("example.org")).toBeUndefined();
  });

  it("stand behind the last @", () => {
    expect(domainOf('"a@b"@example.org')).toBe("example.org");
    expect(domainOf("")).toBe("");
  });
});
