import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { parsePath } from "../../src/smtp/address.ts";
import { readMailboxes } from "../../src/smtp/mailboxes.ts";

const user1 = ["user1@example.org"];
const both = ["user1@example.org", "user2@example.org"];

/** What it shows, a field's body as it is unfolded, and the addresses in it; undefined where nothing may be read. */
const bodies: readonly (readonly [string, string, readonly string[] | undefined])[] = [
  ["an address alone", "user1@example.org", user1],
  ["an address in brackets alone", "<user1@example.org>", user1],
  ["a name", "User One <user1@example.org>", user1],
  ["a quoted name", '"One, User" <user1@example.org>', user1],
  ["a quoted name with quotes in it", '"\\"U\\" <x>" <user1@example.org>', user1],
  ["an address in brackets in a quoted name", '"\\"U\\" <x@y.example>" <user1@example.org>', undefined],
  ["an address in brackets in a comment", "(<user2@example.org>) user1@example.org", undefined],
  ["one behind the address", "user1@example.org (<user2@example.org>)", undefined],
  ["one in comments within comments", "((a <user2@example.org>)) <user1@example.org>", undefined],
  ["one with backslashes", '"\\<user2@example.org\\>" <user1@example.org>', undefined],
  ["one whose bracket is not closed", '"<user2@example.org" <user1@example.org>', undefined],
  ["one in two comments", "(<user2)(@example.org>) <user1@example.org>", undefined],
  ["one in a quoted local part", '"<user2@example.org>"@example.org', undefined],
  ["one in a group's name", '"<user2@example.org>": user1@example.org;', undefined],
  ["one in an encoded word", "=?utf-8?Q?=3Cuser2=40example.org=3E?= <user1@example.org>", undefined],
  ["one in base64", "=?utf-8?B?PHVzZXIyQGV4YW1wbGUub3JnPg==?= <user1@example.org>", undefined],
  ["the address itself in brackets in the name", '"One <User1@example.org>" <user1@example.org>', user1],
  ["brackets without an address", '"Sales <EU>" <user1@example.org> (<3)', user1],
  ["a name with dots, as nobody quotes it", "User J. One <user1@example.org>", user1],
  ["a name with square brackets", "[Press 1] User One <user1@example.org>", user1],
  ["an address in square brackets as the name", "[user2@example.org] <user1@example.org>", undefined],
  ["square brackets as a group's name", "[user2@example.org]: user1@example.org;", undefined],
  ["an encoded name", "=?utf-8?Q?J=C3=B6rg?= <user1@example.org>", user1],
  ["an encoded name with brackets in it", "=?utf-8?B?PHg+?= (=?utf-8?Q?x?=) <user1@example.org>", user1],
  ["a name in UTF-8", "J\u00c3\u00b6rg <user1@example.org>", user1],
  ["a name in some other character set", "J\u00f6rg <user1@example.org>", user1],
  ["the address again as the name", "user1@example.org <User1@example.org>", ["User1@example.org"]],
  ["the address again as the quoted name", '"user2@example.org" <user1@example.org>', user1],
  ["another address as the name", "user2@example.org <user1@example.org>", undefined],
  ["a name that ends in an @", "user1@ <user1@example.org>", undefined],
  ["a comment behind it", "user1@example.org (User One)", user1],
  ["comments within comments", "(a (b) \\( c) user1@example.org (d)", user1],
  ["an address in a comment", "(user2@example.org,) user1@example.org", user1],
  ["comments inside the address", "user1 (a) @ (b) example (c) . org", user1],
  ["white space around", " \t user1@example.org \t ", user1],
  ["two addresses", "user1@example.org, User Two <user2@example.org>", both],
  ["empty places in a list", ", user1@example.org,, user2@example.org ,", both],
  ["a group", "Editors: user1@example.org, Two <user2@example.org>;", both],
  ["an empty group", "undisclosed-recipients:;", []],
  ["a group and another", "One: user1@example.org;, Two: user2@example.org;", both],
  ["a group among addresses", "user1@example.org, Two: user2@example.org;,", both],
  ["a route", "<@a.example,@b.example:user1@example.org>", user1],
  ["a quoted local part that needs no quotes", '"user1"@example.org', user1],
  ["a quoted local part that needs them", '"user 1"@example.org', ['"user 1"@example.org']],
  ["quotes and backslashes in a local part", '"a\\"\\\\b"@example.org', ['"a\\"\\\\b"@example.org']],
  ["an @ in a local part", '"user2@example.net"@example.org', ['"user2@example.net"@example.org']],
  ["a local part of several words", '"user" . 1@example.org', ["user.1@example.org"]],
  ["a tag", "user1+lists@example.org", ["user1+lists@example.org"]],
  ["an address literal", "user1@[192.0.2.1]", ["user1@[192.0.2.1]"]],
  ["an address in UTF-8", "j\u00c3\u00b6rg@example.org", ["j\u00f6rg@example.org"]],
  ["a domain in UTF-8", "a@ex\u00c3\u00a4mple.org", ["a@ex\u00e4mple.org"]],
  ["an address in another character set", "j\u00f6rg@example.org", undefined],
  ["nothing", "", undefined],
  ["nothing but a comment", " (nobody) ", undefined],
  ["commas only", ",,", undefined],
  ["no domain", "user1", undefined],
  ["a name only", "User One", undefined],
  ["no local part", "@example.org", undefined],
  ["a second @", "user1@example.org@example.net", undefined],
  ["no comma between two", "user1@example.org user2@example.org", undefined],
  ["no comma between two in brackets", "<user1@example.org> <user2@example.org>", undefined],
  ["words behind the brackets", "<user1@example.org> User", undefined],
  ["brackets within brackets", "<<user1@example.org>>", undefined],
  ["two addresses in brackets", "<user1@example.org, user2@example.org>", undefined],
  ["empty brackets", "User One <>", undefined],
  ["a bracket that is never closed", "User One <user1@example.org", undefined],
  ["a comment that is never closed", "user1@example.org (User", undefined],
  ["a quote that is never closed", '"User <user1@example.org>', undefined],
  ["a quote that ends in a backslash", '"User\\', undefined],
  ["a comma in a name that is not quoted", "One, User <user1@example.org>", undefined],
  ["a colon in a name that is not quoted", "Re: User <user1@example.org>", undefined],
  ["a semicolon between two", "user1@example.org; user2@example.org", undefined],
  ["a group in a group", "a: b: user1@example.org;;", undefined],
  ["a group without a name", ": user1@example.org;", undefined],
  ["words behind a group", "a: user1@example.org; b", undefined],
  ["dots too many", "user1..a@example.org", undefined],
  ["a dot first", ".user1@example.org", undefined],
  ["a blank in the local part", "user 1@example.org", undefined],
  ["a comment that splits a word", "us(e)er1@example.org", undefined],
  ["an encoded word as the local part", "=?utf-8?Q?user1=40example.org=00?=@example.org", undefined],
  ["an encoded word in quotes there", '"=?utf-8?Q?a?="@example.org', undefined],
  ["a control character", "user1\u0001@example.org", undefined],
  ["a NUL in a name", '"a\0b" <user1@example.org>', undefined],
  ["a domain that is none", "user1@-example-.org", undefined],
  ["a literal that is no address", "user1@[example.org]", undefined],
];

describe("readMailboxes()", () => {
  it.each(bodies)("reads %s", (_, body, expected) => {
    expect(readMailboxes(body)).toEqual(expected);
  });

  it("takes time in proportion to the length, whatever it reads", () => {
    const hostile = [
      "(",
      '"',
      "\\",
      "<",
      "a.",
      "a ",
      "a@",
      ",",
      "a:",
      "(a)",
      '"a"',
      "[",
      "a@b,",
      "<@a,",
      "=?a?q?",
      "=?",
      "(<a@",
      '"<',
    ];
    for (const piece of hostile) {
      // Anything worse than linear would run into the runner's time limit.
      expect(() => readMailboxes(piece.repeat(Math.ceil(100_000 / piece.length)))).not.toThrow();
    }
  });

  it("reads what was put together, however it is disguised", () => {
    fc.assert(
      fc.property(fc.array(fc.record({ address, name, group: fc.boolean() }), { minLength: 1 }), (people) => {
        const body = people
          .map((one) => (one.group ? `${one.name}: ${shown(one)};` : shown(one)))
          .join(" (a,) ,\t");
        expect(readMailboxes(body)).toEqual(people.map((one) => one.address));
      }),
    );
  });

  it("says the same of what it reads without taking it apart as with a comment, with which it does", () => {
    const piece = fc.constantFrom(
      "User",
      "one",
      "1",
      "_",
      "+",
      "-",
      ".",
      "@",
      "example.org",
      " ",
      "\t",
      "<",
      ">",
    );
    const plain = fc.array(piece, { maxLength: 9 }).map((pieces) => pieces.join(""));
    const usual = fc
      .tuple(fc.constantFrom("", "User One "), word, fc.constantFrom(".", "@", ""), word)
      .map(([shown, first, mark, second]) => {
        const mailbox = `${first}${mark}${second}@example.org`;
        return shown === "" ? mailbox : `${shown}<${mailbox}>`;
      });
    fc.assert(
      fc.property(fc.oneof(plain, usual), (body) => {
        expect(readMailboxes(body)).toEqual(readMailboxes(`${body} ()`));
      }),
      { numRuns: 2_000 },
    );
  });

  it("gives addresses that SMTP can carry, or nothing", () => {
    const piece = fc.constantFrom(
      ...'<>,:;@."\\()[] \tab1é=?'.split(""),
      "a@b.example",
      '"',
      "=?utf-8?q?a?=",
      "\0",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 20 }), (pieces) => {
        for (const found of readMailboxes(pieces.join("")) ?? []) {
          expect(parsePath(`<${found}>`)?.address).toBe(found);
          expect(found).toContain("@");
        }
      }),
      { numRuns: 2_000 },
    );
  });
});

const word = fc.stringMatching(/^[a-z0-9+_-]{1,8}$/);
const address = fc
  .tuple(word, word, word)
  .map(([one, two, host]) => `${one}.${two}@x${host.replace(/\W|_/g, "")}.example`);
const name = fc.constantFrom("One", '"One, (Two"', "J. O. (he) Ne", "=?utf-8?Q?=C3=B6?=", '"a@b.example"');
const shown = (one: { readonly address: string; readonly name: string }): string =>
  one.name.startsWith("O") ? `(x) ${one.address.replace("@", " @\t(y)")}` : `${one.name} <${one.address}>`;
