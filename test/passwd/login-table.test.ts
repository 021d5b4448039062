/** A password file's logins, found in its octets. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { disabledLines, readTable } from "../../src/passwd/login-table.ts";
import { loginsIn } from "../../src/passwd/logins.ts";
import {
  canonicalLogin,
  type DisabledLine,
  type EntryLine,
  isEntry,
  parsePasswordFile,
} from "../../src/passwd/password-file.ts";

const bcrypt = "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG";
const md5 = "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/";
const domain = "example.org";

const reading = (text: string, reported?: Uint8Array) =>
  readTable(new Uint8Array(Buffer.from(text)), domain, reported);

describe("a file's logins", () => {
  const { table, news } = reading(
    [
      `user1:${md5}`,
      `User1:${bcrypt}`,
      `user2@example.org:${bcrypt}`,
      `user3@example.net:${bcrypt}`,
      "user4:*LK*",
      `__proto__:${bcrypt}`,
    ].join("\n"),
  );
  const logins = loginsIn(table, domain);

  test("have all their lines, in any case and with the domain", () => {
    const names = ["user1", "user2", "user3", "user4", "__proto__", "constructor"];
    expect(names.map((login) => logins.entries.get(login)?.length)).toEqual([
      ...[2, 1, undefined, undefined, 1, undefined],
    ]);
    expect(logins.entries.size).toBe(3);
  });

  test("are told apart from the lines that let nobody in", () => {
    expect([...disabledLines(table, news, domain)]).toEqual([
      { number: 4, login: "user3@example.net", reason: "the login is of another domain" },
      { number: 5, login: "user4", reason: "locked" },
    ]);
    expect(table.ignored).toBe(2);
    expect(logins.disabled.get("user4")).toBe("locked");
  });

  test("give a line of the commonest cost for those who do not exist", () => {
    expect(logins.decoy?.stored.inspection.algorithm).toBe("BLF-CRYPT");
  });
});

test("a line that let nobody in before is no news, whatever stands around it", () => {
  const { reported } = reading(`user1:${md5}\nuser2:*\nuser3:!\n`);
  const { table, news } = reading(`user0:*\nuser1:${md5}\nuser3:!\nuser3:\nuser2:*\n`, reported);
  expect([...disabledLines(table, news, domain)].map(({ number, login }) => [number, login])).toEqual([
    [1, "user0"],
    [4, "user3"],
  ]);
  expect(table.ignored).toBe(4);
});

const field = fc.constantFrom(
  bcrypt,
  md5,
  "*",
  "{PLAIN}x",
  "{PLAIN}ä",
  `${bcrypt}::::::nologin`,
  "",
  "{NO}x",
);
const login = fc.constantFrom(
  "a",
  "A",
  "b@example.org",
  "b",
  "c@example.net",
  "ü",
  "Ü",
  "",
  "a b",
  "@example.org",
);
const line = fc.oneof(
  fc.tuple(login, field).map(([name, stored]) => `${name}:${stored}`),
  fc.constantFrom("", "  ", "# comment", "a"),
);

test("every login has what its lines say, in their order, however the file is written", () => {
  fc.assert(
    fc.property(
      fc.array(line, { maxLength: 30 }),
      fc.constantFrom("\n", "\r\n"),
      fc.boolean(),
      fc.constantFrom("", "\ufeff"),
      (lines, end, isEnded, mark) => {
        const text = lines.join(end) + (isEnded ? end : "");
        const { table, news } = reading(mark + text);
        const entries = new Map<string, EntryLine[]>();
        const shut: DisabledLine[] = [];
        for (const one of parsePasswordFile(text)) {
          const name = canonicalLogin(one.login, domain);
          if (name === undefined) shut.push({ ...one, reason: "the login is of another domain" });
          else if (isEntry(one)) entries.set(name, [...(entries.get(name) ?? []), one]);
          else shut.push(one);
        }
        const logins = loginsIn(table, domain);
        const brief = (found: readonly (EntryLine | DisabledLine)[]) =>
          found.map((one) => [one.number, one.login, isEntry(one) ? one.text : one.reason]);
        expect(logins.entries.size).toBe(entries.size);
        expect([table.ignored, brief([...disabledLines(table, news, domain)])]).toEqual([
          shut.length,
          shut.map(({ number, login: name, reason }) => [number, name, reason]),
        ]);
        for (const name of ["a", "b", "c", "ü", "a b", "nobody"]) {
          expect(brief(logins.entries.get(name) ?? [])).toEqual(brief(entries.get(name) ?? []));
          const reasons = shut.filter((one) => canonicalLogin(one.login, domain) === name);
          expect(logins.disabled.get(name)).toBe(reasons.at(-1)?.reason);
        }
      },
    ),
    { numRuns: 500, seed: 1 },
  );
});
