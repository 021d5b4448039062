/** A password of several in the directory: a hash, a name, a time. */
import { expect, test } from "vitest";
import { singleValuedIn } from "../../src/ldap/schema.ts";
import { formatPasswordValue, readPasswordValue } from "../../src/passwd/named-value.ts";
import { parsePasswordFile } from "../../src/passwd/password-file.ts";

const hash = "$2y$10$b3gnXiJgf7VYlXLoFBJfW.0Bkcq9Vq3MC3Yo6Kk0l6xSFM2kfKk3W";
const made = Date.UTC(2026, 10, 29, 18, 30, 0);

test("is written and read back", () => {
  const text = formatPasswordValue({ hash, name: "phone", made });
  expect(text).toBe(`${hash}:::phone,20261129183000Z`);
  expect(readPasswordValue(text)).toEqual({ hash, name: "phone", made });
  expect(readPasswordValue(hash)).toEqual({ hash });
});

test("is a line that lets in, where somebody copies it as it is", () => {
  const value = formatPasswordValue({ hash, name: "phone", made });
  expect(parsePasswordFile(`user1:${value}\n`)).toMatchObject([{ login: "user1", text: hash }]);
});

test.each([
  `${hash}:::`,
  `${hash}:::phone`,
  `${hash}:::phone,`,
  `${hash}:::phone,yesterday`,
  `${hash}:::phone,20261129183000Z,x`,
  `${hash}:::phone,20261129183000Z:x`,
  `${hash}:::my phone,20261129183000Z`,
  `${hash}:1::phone,20261129183000Z`,
  `${hash}::phone,20261129183000Z`,
])("%s is no name", (text) => {
  expect(readPasswordValue(text)).toEqual({ hash: text });
});

test.each([
  ["( 2.999.1.1 NAME 'mailPassword' SYNTAX 1.3.6 )", "mailPassword", false],
  ["( 2.999.1.1 NAME 'mailPassword' SYNTAX 1.3.6 SINGLE-VALUE )", "MAILPASSWORD", true],
  ["( 2.999.1.1 NAME ( 'a' 'mailPassword' ) SINGLE-VALUE )", "mailPassword", true],
  ["( 2.999.1.1 NAME 'x' DESC 'is SINGLE-VALUE' )", "x", false],
  ["( 2.999.1.1 NAME 'x' DESC 'mailPassword' SINGLE-VALUE )", "mailPassword", undefined],
  ["( 2.999.1.1 SINGLE-VALUE )", "2.999.1.1", true],
  ["", "x", undefined],
])("%s: %s", (description, attribute, single) => {
  expect(singleValuedIn([description], attribute)).toBe(single);
});
