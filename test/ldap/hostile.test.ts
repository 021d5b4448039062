import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { parseConfig } from "../../src/config/config-file.ts";
import { collectAccounts } from "../../src/ldap/account.ts";
import { aliasesText, passwordFile, proofread } from "../../src/ldap/contents.ts";
import { equals, type LdapEntry, quoted } from "../../src/ldap/directory.ts";
import { readAddress } from "../../src/ldap/socket.ts";
import { parseAliases } from "../../src/server/submission/sender-policy.ts";
import { hashes } from "./cases.ts";

const reading = parseConfig('hostname = "mail.example.org"\ndomain = "example.org"\n', "standard");
if (!("config" in reading)) throw new Error("no defaults");
const terms = { ...reading.config.ldap, ...reading.config.sync, "sender-attribute": "mailAlias" };

/** Octets that are nasty, noise, or nearly right. */
const octets = fc.oneof(
  fc.uint8Array({ maxLength: 20 }).map((array) => Buffer.from(array)),
  fc.string({ unit: "binary", maxLength: 20 }).map((text) => Buffer.from(text)),
  fc
    .constantFrom("user1", "User1", "user2", "__proto__", "#user1", "a:b", "a@example.org")
    .map((text) => Buffer.from(text)),
  fc
    .tuple(
      fc.constantFrom("md5", "blf", "ssha"),
      fc.constantFrom("", "\n", ":", "\0", "\r\nroot:x", " ", "é", "\u2028"),
    )
    .map(([name, end]) => Buffer.from(`${hashes[name]}${end}`)),
);

const nearly = ["a@-x.org", "a@x-.org", "a@x_y.org", "-@x.org", "a@1.2", "a@x..org", "#a@x.org"].map((text) =>
  Buffer.from(text),
);

/** Addresses, and what nearly is one. */
const address = fc
  .tuple(fc.stringMatching(/^[a-zA-Z.,:#"+-]{0,4}$/), fc.stringMatching(/^[a-zA-Z.@_-]{0,6}(\.org)?$/))
  .map(([local, domain]) => Buffer.from(`${local}@${domain}`));

const entry: fc.Arbitrary<LdapEntry> = fc
  .record({
    uid: fc.array(octets, { maxLength: 2 }),
    mailpassword: fc.array(octets, { maxLength: 3 }),
    accountstatus: fc.array(octets, { maxLength: 1 }),
    mailalias: fc.array(fc.oneof(octets, address), { maxLength: 2 }),
  })
  .map((attributes) => ({
    dn: "cn=anybody",
    values: new Map(Object.entries({ ...attributes, userpassword: [Buffer.from("{crypt}x")] })),
  }));

describe("whatever the directory holds", () => {
  test("every line of the file is one login of one entry and one of its hashes", () => {
    fc.assert(
      fc.property(
        fc.array(entry, { maxLength: 8 }),
        fc.constantFrom("plain", "dovecot"),
        (entries, format) => {
          const census = collectAccounts({ ...terms, format }, 0);
          for (const one of entries) census.add(one);
          const file = passwordFile(census.result().accounts, format);
          proofread(file);
          expect(file.text === "" || file.text.endsWith("\n")).toBe(true);
          for (const line of file.text.split("\n").slice(0, -1)) {
            expect(line).toMatch(/^[a-z0-9_][a-z0-9._-]*:[\x21-\x39\x3b-\x7e]+$/);
            const [login = "", hash = ""] = line.split(":");
            const owners = entries.filter(({ values }) =>
              values.get("uid")?.some((uid) => uid.toString() === login),
            );
            expect(owners).toHaveLength(1);
            expect(owners[0]?.values.get("mailpassword")?.map(String)).toContain(hash);
          }
        },
      ),
      { numRuns: 500 },
    );
  });

  test("every line of the aliases is an address and logins that are in the file", () => {
    fc.assert(
      fc.property(fc.array(entry, { maxLength: 8 }), (entries) => {
        const census = collectAccounts(terms, 0);
        for (const one of entries) census.add(one);
        const { senders, accounts } = census.result();
        expect(parseAliases(aliasesText(senders), "aliases")).toEqual(senders); // as serve reads it
        for (const line of aliasesText(senders).split("\n").slice(0, -1)) {
          const [, address, logins = ""] = /^([^#:\s][^:\s]*@[^:\s]+): ([a-z0-9._, -]+)$/.exec(line) ?? [];
          expect(address).toBeDefined();
          for (const login of logins.split(", ")) expect(accounts.has(login)).toBe(true);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("serve reads the aliases as they are meant, whatever somebody calls an address", () => {
    const odd = fc.oneof(address, fc.constantFrom(...nearly));
    fc.assert(
      fc.property(fc.array(odd, { maxLength: 6 }), fc.integer({ min: 1, max: 300 }), (given, length) => {
        const long = [`${"a".repeat(length)}@example.org`, `a@${"b".repeat(length)}.org`].map((text) =>
          Buffer.from(text),
        );
        const census = collectAccounts(terms, 0);
        const values = { uid: "user1", userpassword: "{crypt}x", mailpassword: hashes["md5"] ?? "" };
        const own = Object.entries(values).map(([name, text]): [string, Buffer[]] => [
          name,
          [Buffer.from(text)],
        ]);
        census.add({ dn: "uid=user1", values: new Map([...own, ["mailalias", [...given, ...long]]]) });
        const { senders } = census.result();
        expect(parseAliases(aliasesText(senders), "aliases")).toEqual(senders);
      }),
      { numRuns: 500 },
    );
  });

  test("what is shown of it is one line of plain ASCII", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 300 }), (text) => {
        expect(quoted(text)).toMatch(/^"[\x20-\x7e]{0,123}"$/);
      }),
    );
  });
});

test("equals() finds a value and nothing else, whatever is in it", () => {
  expect(equals("uid", "user1")).toBe("(uid=user1)");
  expect(equals("uid", "*)(uid=root\\\0")).toBe("(uid=\\2a\\29\\28uid=root\\5c\\00)");
});

describe("readPlace()", () => {
  const places: [string, ReturnType<typeof readAddress>][] = [
    ["ldap://db.example.org", { kind: "tcp", host: "db.example.org", port: 389, tls: false }],
    ["ldaps://db.example.org/", { kind: "tcp", host: "db.example.org", port: 636, tls: true }],
    ["ldap://[2001:db8::1]:3389", { kind: "tcp", host: "2001:db8::1", port: 3389, tls: false }],
    ["LDAPS://192.0.2.1:1636", { kind: "tcp", host: "192.0.2.1", port: 1636, tls: true }],
    ["ldapi:///run/other/ldapi", { kind: "unix", path: "/run/other/ldapi" }],
    ["ldapi://%2Frun%2Fother%2Fldapi", { kind: "unix", path: "/run/other/ldapi" }],
    ["ldapi://%2frun%2fother%2fldapi/", { kind: "unix", path: "/run/other/ldapi" }],
    ["ldapi:///", { kind: "unix", path: "/run/slapd/ldapi" }],
    ["ldapi://", { kind: "unix", path: "/run/slapd/ldapi" }],
    ["ldap://", undefined],
    ["ldap://db.example.org:0", undefined],
    ["ldap://db.example.org:65536", undefined],
    ["ldap://user@db.example.org", undefined],
    ["ldap://db.example.org/dc=example", undefined],
    ["http://db.example.org", undefined],
  ];
  test.each(places)("%s", (url, place) => {
    expect(readAddress(url)).toEqual(place);
  });
});
