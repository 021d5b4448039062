/** bcrypt is checked by hash-wasm and made by bcryptjs: for every password and form the two must say the same. */
import { encodeBase64, hashSync } from "bcryptjs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { readStored, verifyStored } from "../../src/passwd/stored.ts";

const versions = ["$2a$", "$2b$", "$2y$"];
const salt = fc.uint8Array({ minLength: 16, maxLength: 16 }).map((octets) => encodeBase64([...octets], 16));

async function isRight(hash: string, password: string): Promise<boolean> {
  const stored = readStored(hash);
  if ("problem" in stored) throw new Error(stored.problem);
  return verifyStored(stored, { password, names: [] });
}

/** The first octets of `password` that bcrypt looks at. */
const key = (password: string): Buffer => {
  const octets = Buffer.from(password);
  return Buffer.concat([octets, Buffer.alloc(1)]).subarray(0, 72);
};

/** A key is repeated as often as it takes to fill 72 octets. */
const filled = (password: string): Buffer => Buffer.alloc(72, key(password));

/** Lone surrogates become what UTF-8 has in their place. */
const password = fc
  .oneof(
    fc.string({ unit: "binary", maxLength: 80 }),
    fc.string({ unit: "grapheme", maxLength: 40 }),
    fc.string({ unit: fc.constantFrom("\0", "a", "\x7f", "\x80", "ÿ", "€"), maxLength: 80 }),
    fc.constantFrom(...[70, 71, 72, 73, 74].map((octets) => "x".repeat(octets))),
  )
  .map((text) => Buffer.from(text).toString());

test("what bcryptjs makes of any password and salt is right, in each version", async () => {
  await fc.assert(
    fc.asyncProperty(password, salt, fc.constantFrom(...versions), async (said, seasoning, version) => {
      const made = hashSync(said, `$2b$04$${seasoning}`);
      expect(await isRight(made.replace("$2b$", version), said)).toBe(true);
    }),
    { numRuns: 150 },
  );
});

test("another password is right where bcryptjs says so, and nowhere else", async () => {
  await fc.assert(
    fc.asyncProperty(password, password, salt, async (one, other, seasoning) => {
      const [said, made] = [one, hashSync(other, `$2b$04$${seasoning}`)];
      expect(await isRight(made, said)).toBe(hashSync(said, made.slice(0, 29)) === made);
      expect(await isRight(made, said)).toBe(filled(said).equals(filled(other)));
    }),
    { numRuns: 150 },
  );
});

test.each([
  // Test vectors of Openwall's crypt_blowfish.
  ["$2a$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW", "U*U"],
  ["$2a$05$CCCCCCCCCCCCCCCCCCCCC.VGOzA784oUp/Z0DY336zx7pLYAy0lwK", "U*U*"],
  ["$2a$05$XXXXXXXXXXXXXXXXXXXXXOAcXxm9kjPGEMsLznoKqmqw7tc8WCx4a", "U*U*U"],
  ["$2a$05$CCCCCCCCCCCCCCCCCCCCC.7uG0VCzI2bS7j6ymqJi9CdcdxiRTWNy", ""],
  [
    "$2a$05$abcdefghijklmnopqrstuu5s2v8.iXieOjg/.AySBTTZIIVFJeBui",
    "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789chars after 72 are ignored",
  ],
])("the vector %s is right", async (hash, said) => {
  expect(await isRight(hash, said)).toBe(true);
  expect(await isRight(hash, `${said.slice(0, 71)}!`)).toBe(false);
});

test("a salt whose last character has bits that are not used is damaged, as for crypt(3)", async () => {
  const made = hashSync("correct horse", "$2b$04$abcdefghijklmnopqrstuu");
  expect(await isRight(made, "correct horse")).toBe(true);
  expect(await isRight(`${made.slice(0, 28)}v${made.slice(29)}`, "correct horse")).toBe(false);
});

test("the version with the sign bug is checked by nobody", () => {
  expect(readStored("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")).toEqual({
    problem: "bcrypt with the sign bug of 2011 ($2x$) is not supported",
  });
});
