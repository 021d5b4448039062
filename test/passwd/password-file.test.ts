import { expect, test } from "vitest";
import { Failure } from "../../src/failure.ts";
import {
  canonicalLogin,
  decodePasswordFile,
  isEntry,
  parsePasswordFile,
} from "../../src/passwd/password-file.ts";

const bcrypt = "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG";
const md5 = "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/";
const sha512 =
  "$6$u67byrTJoyJiRMtE$g2IbuaYMYp4D.8MJ4SqER6QVwDp2IBFHvoUbJJzJGrfR0L/IZFLo.sStc3oXtHG1G/LGuyXxrBLdS5QZvTLmX0";

/** Algorithm and cost of a line that lets somebody in, or why it does not. */
function reading(text: string): string | undefined {
  const [line] = parsePasswordFile(text);
  if (!line) return undefined;
  if (!isEntry(line)) return `${line.login}: ${line.reason}`;
  const { algorithm, cost } = line.stored.inspection;
  return `${line.login} = ${algorithm}${cost === "" ? "" : `, ${cost}`}`;
}

test.each([
  ["", undefined],
  ["   ", undefined],
  ["# user1:x", undefined],
  [`user1:${md5}`, "user1 = MD5-CRYPT, 1000 rounds"],
  [`user1:${sha512}\r`, "user1 = SHA512-CRYPT, 5000 rounds"],
  [`user1:${bcrypt}::::::`, "user1 = BLF-CRYPT, cost 5"],
  [`user1:{BLF-CRYPT}${bcrypt}:1000:1000:A Name:/home/user1:/bin/sh`, "user1 = BLF-CRYPT, cost 5"],
  [`user1:{crypt}${md5}`, "user1 = MD5-CRYPT, 1000 rounds"],
  [`user1:{SHA512-CRYPT}${bcrypt}`, "user1 = BLF-CRYPT, cost 5"],
  ["user1:sgn88XbHm0Xjc", "user1 = DES-CRYPT, 25 rounds"],
  ["user1:sgn88XbHm0Xjc[13]", "user1 = DES-CRYPT, 25 rounds"],
  ["user1:3cb4e732631f47e6eb961f34554b7cde[34]", "user1 = PLAIN-MD5"],
  ["user1:$apr1$abcdefgh$0123456789012345678901", "user1 = APR1, 1000 rounds"],
  ["user1:{PLAIN}open sesame", "user1 = PLAIN"],
  [`user1:${bcrypt}::::::userdb_mail=maildir:/var/mail/user1 nodelay`, "user1 = BLF-CRYPT, cost 5"],
  [`user1:${bcrypt}::::::userdb_nologin=y k5principals=user1 reason=host`, "user1 = BLF-CRYPT, cost 5"],
  [`user1:${bcrypt}::::::userdb_mail=maildir:/m nologin`, "user1: suspended by the extra field nologin"],
  [`user1:${bcrypt}::::::nologin=y reason=moved`, "user1: suspended by the extra field nologin"],
  [`user1:${bcrypt}::::::nologin:protected=y`, "user1: suspended by the extra field nologin"],
  [`user1:${bcrypt}::::::noauthenticate`, "user1: suspended by the extra field noauthenticate"],
  [`user1:${bcrypt}::::::fail=y`, "user1: suspended by the extra field fail"],
  ...[
    ...["allow_nets", "allow_real_nets", "delay_until", "user", "login_user", "proxy", "proxy_maybe", "host"],
    ...["nopassword", "password", "password_noscheme", "passdb_import"],
  ].map((name): [string, string] => [
    `user1:${bcrypt}::::::userdb_x=1  ${name}=1`,
    `user1: the extra field ${name} is not supported`,
  ]),
  [`user1:${bcrypt}::::::allow_nets=192.0.2.0/24`, "user1: the extra field allow_nets is not supported"],
  [`user1:${bcrypt}::::::userdb_x=1 user=root`, "user1: the extra field user is not supported"],
  ["user1", "user1: no password"],
  ["user1:", "user1: no password"],
  ["user1:::::::nopassword", "user1: no password"],
  ["user1:*LK*", "user1: locked"],
  ["user1:*", "user1: locked"],
  [`user1:!${md5}`, "user1: locked"],
  ["user1:{CRYPT}*LK*", "user1: locked"],
  ["user1:{PLAIN}*LK*", "user1 = PLAIN"],
  [`user1:${bcrypt.slice(0, -1)}`, "user1: damaged BLF-CRYPT string"],
  [`user1:{MD5-CRYPT}${bcrypt}`, "user1: damaged MD5-CRYPT string"],
  ["user1:{NOPE}x", "user1: unknown scheme {NOPE}"],
  ["user1:{SHA1}L55TUjtiq8FBorTWAZ0jy6g129B=", "user1: neither hex nor base64"],
  ["user1:{SHA1}L55T", "user1: 3 octets instead of 20"],
  ["user1:open sesame", "user1: damaged or unknown crypt string"],
  ["user1:$y$j9T$abc$def", "user1: yescrypt ($y$) is not supported"],
  [`user1:$2y$31$${bcrypt.slice(7)}`, "user1: cost 31 is more than the 15 allowed"],
  [`user1:$6$rounds=999999999${sha512.slice(2)}`, "user1: rounds 999999999 is more than the 500000 allowed"],
  [`:${bcrypt}`, ": no login before the colon"],
  [`user 1:${bcrypt}`, "user 1: the login has blanks or control characters"],
  [`__proto__:${bcrypt}`, "__proto__ = BLF-CRYPT, cost 5"],
])("the line %j is read as %j", (text, expected) => {
  expect(reading(text)).toBe(expected);
});

test("lines are counted from one, blank ones and comments as well", () => {
  const lines = parsePasswordFile(`# made by hand\n\nuser1:${md5}\r\nuser2:*LK*\n`);
  expect(lines.map(({ number, login }) => [number, login])).toEqual([
    [3, "user1"],
    [4, "user2"],
  ]);
});

test.each([
  ["user1", "user1"],
  ["User1", "user1"],
  ["user1@example.org", "user1"],
  ["USER1@Example.ORG", "user1"],
  ["user1@example.net", undefined],
  ["user1@", undefined],
  ["@example.org", undefined],
  ["", undefined],
  ["a@b@example.org", "a@b"],
  ["__proto__", "__proto__"],
])("the name %j stands for the login %j", (name, expected) => {
  expect(canonicalLogin(name, "example.org")).toBe(expected);
});

test.each([
  ["octets that are not UTF-8", [0x75, 0xff, 0x3a]],
  ["the holes that a crash leaves", [0x75, 0x3a, 0, 0, 0]],
])("%s are refused as a whole", (_, octets) => {
  expect(() => decodePasswordFile(Uint8Array.from(octets))).toThrow(Failure);
});
