/** Who may send as whom. */
import { describe, expect, test } from "vitest";
import { Failure } from "../../../src/failure.ts";
import { parseAliases, senderPolicies, senderPolicy } from "../../../src/server/submission/sender-policy.ts";

describe("senderPolicies()", () => {
  const aliases = new Map([
    ["press@example.org", new Set(["anna", "anna@example.net"])],
    ["sales@example.net", new Set(["anna@example.net"])],
  ]);
  const rules = senderPolicies(
    senderPolicy("own", "example.org", aliases),
    new Map([
      ["example.net", senderPolicy("own", "example.net", aliases)],
      ["example.com", senderPolicy("domain", "example.com", aliases)],
    ]),
  );
  test.each([
    ["anna", "anna@example.org", true],
    ["anna", "anna@example.net", false],
    ["anna", "sales@example.net", false],
    ["anna@example.net", "anna+list@example.net", true],
    ["anna@example.net", "anna@example.org", false],
    ["anna@example.net", "press@example.org", true],
    ["anna@example.net", "sales@example.net", true],
    ["anna@example.com", "whoever@example.com", true],
    ["anna@example.com", "whoever@example.org", false],
    ["anna@example.edu", "anna@example.edu", false], // a domain that is gone
    ["anna@example.edu", "anna@example.org", false],
  ])("lets %s send as %s: %s", (login, address, may) => expect(rules.mayUse(login, address)).toBe(may));

  test("know each login's own address", () => {
    expect(["anna", "anna@example.net"].map((login) => rules.ownAddress(login))).toEqual([
      "anna@example.org",
      "anna@example.net",
    ]);
  });
});

describe("senderPolicy()", () => {
  const aliases = new Map([["press@example.org", new Set(["user1"])]]);
  const own = senderPolicy("own", "Example.org", aliases);
  test.each([
    ["user1", "user1@example.org", true],
    ["USER1", "User1@EXAMPLE.org", true],
    ["user1", "user1+a+b@example.org", true],
    ["user1", "PRESS@example.org", true],
    ["user2", "press@example.org", false],
    ["user1", "user11@example.org", false],
    ["user1", "user1@example.com", false],
    ["user1", "+user1@example.org", false],
    ["user1", "user1@sub.example.org", false],
    ["user1", '"user1+x@example.org"@example.com', false],
    ["user1@example.com", "user1+x@example.com", true],
    ["user1@example.com", "user1@example.org", false],
    ["user+tag", "user@example.org", false],
  ])("lets %s send as %s: %s", (login, address, may) => expect(own.mayUse(login, address)).toBe(may));

  test.each(["a..b@example.net", '"a..b"@example.net', '.a.@example.net: user2\n"a..b"@example.net'])(
    "lets odd dots stand in quotes or not: %s",
    (written) => {
      const policy = senderPolicy("own", "example.org", parseAliases(`${written}: user1\n`, "aliases"));
      expect(policy.mayUse("user1", '"a..b"@example.net')).toBe(true); // as MAIL FROM gives it
      expect(policy.mayUse("user1", "A..b@example.net")).toBe(true); // as a header field may have it
      expect(policy.mayUse("user2", "a..b@example.net")).toBe(false);
    },
  );

  test("describes what would do, and does not list hundreds", () => {
    const many = new Map(Array.from({ length: 9 }, (_, at) => [`a${at}@example.org`, new Set(["user1"])]));
    expect(senderPolicy("own", "example.org", many).describe("user1")).toBe(
      "user1@example.org, a0@example.org, a1@example.org, a2@example.org, a3@example.org, 5 more",
    );
    expect(own.describe("user2")).toBe("user2@example.org");
  });
});

describe("parseAliases()", () => {
  test("reads addresses and their logins", () => {
    const text = "# roles\r\nPress@example.org: user1, User2\n\npress@example.org:user3\n";
    expect([...(parseAliases(text, "aliases").get("press@example.org") ?? [])]).toEqual([
      "user1",
      "user2",
      "user3",
    ]);
  });
  test("names every line that is wrong", () => {
    const read = (): unknown =>
      parseAliases("press: user1\nok@example.org: a\nx@example.org:\n", "/etc/aliases");
    expect(read).toThrow(Failure);
    expect(read).toThrow(/^\/etc\/aliases:1: expected .*\n\/etc\/aliases:3: expected /);
  });
});
