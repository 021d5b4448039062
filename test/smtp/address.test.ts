import { describe, expect, it } from "vitest";
import { addressLiteral, asciiDomain, domainOf, pathFault, readPath } from "../../src/smtp/address.ts";

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
    ["user1@example.org", { address: "user1@example.org", local: "user1" }],
    ["user1@example.org  SIZE=100 ", { address: "user1@example.org", rest: "SIZE=100" }],
    ['"a >b"@example.org RET=FULL', { address: '"a >b"@example.org', rest: "RET=FULL" }],
    ["User <user1@example.org>", undefined],
    ["user1@example.org>", undefined],
    ["<a..b@example.org>", { address: '"a..b"@example.org', local: "a..b" }],
    ["<.a@example.org>", { address: '".a"@example.org', local: ".a" }],
    ["a.@example.org X", { address: '"a."@example.org', local: "a.", rest: "X" }],
    ["<...@example.org>", undefined],
    ["<a..b>", undefined],
    [`<${".a".repeat(32)}@example.org>`, undefined],
    ["<user1@example.org", undefined],
    ["<user1@@example.org>", undefined],
    ["<user1@example..org>", undefined],
    ["<user 1@example.org>", undefined],
    ["<user1@exam ple.org>", undefined],
    ["<user1@-example.org>", undefined],
    ["<user1@[300.0.2.1]>", undefined],
    ["<us\ter1@example.org>", undefined],
    ['<"a\nb"@example.org>', undefined],
    ["<a@example.org>SIZE=1", undefined],
    ["", undefined],
  ];

/** What cannot be read, and what is said of it. */
const faults: readonly (readonly [string, string])[] = [
  ["", "there is no address"],
  ["<user1@example.org", "<user1@example.org>: the address must stand in angle brackets that are closed"],
  [
    "User <a@b.example>",
    "<User \\x{3c}a@b.example>: the address must stand in angle brackets that are closed",
  ],
  ["<user1@@example.org>", "<user1@@example.org>: it has more than one @"],
  ["<@example.org>", "<@example.org>: nothing stands before the @"],
  ["<user1@>", "<user1@>: nothing stands behind the @"],
  ["<user1@a..b>", "<user1@a..b>: what stands behind the @ is no domain name"],
  ["<us er@a.b>", "<us er@a.b>: a blank or a control character stands before the @, and not in quotes"],
  ["<a(b@c.example>", "<a(b@c.example>: what stands before the @ has signs that must stand in quotes"],
  ["<\u0007ü\n@c.example>", "<\\x{7}\\x{fc}\\x{a}@c.example>: a blank or *"],
  [`<${"a".repeat(65)}@b.example>`, `<${"a".repeat(65)}@b.example>: more than 64 octets before the @`],
  [`<${"a".repeat(9_000)}>`, `<${"a".repeat(100)}...>: more than 64 octets before the @`],
  [`<${"\u{10ffff}".repeat(60)} @b.c>`, `<${"\\x{10ffff}".repeat(20)}...>: *`],
  [`<${".a".repeat(32)}@b.c>`, `<${".a".repeat(32)}@b.c>: it has more than 254 octets, or 64 before *`],
];

it.each(faults)("tells what is wrong with an address, number %#", (argument, expected) => {
  expect(readPath(argument)).toBeUndefined();
  const fault = pathFault(argument);
  if (expected.endsWith("*")) expect(fault.startsWith(expected.slice(0, -1)), fault).toBe(true);
  else expect(fault).toBe(expected);
});

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
