/** bcrypt is checked by hash-wasm and made by bcryptjs: for every password and form the two must say the same. */
import { decodeBase64, encodeBase64, hashSync } from "bcryptjs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { bcryptPair } from "../../src/passwd/bcrypt-pair.ts";
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

test("two that are checked at the same time are each right where bcryptjs says so", async () => {
  await fc.assert(
    fc.asyncProperty(fc.tuple(password, salt), fc.tuple(password, salt), async (first, second) => {
      const [one, other] = [first, second].map(([said, seasoning]) => ({
        key: key(said),
        salt: decodeBase64(seasoning, 16),
      }));
      if (one === undefined || other === undefined) throw new Error("two were made");
      const digests = bcryptPair([one, other], 4);
      const made = [first, second].map(([said, seasoning]) => hashSync(said, `$2b$04$${seasoning}`));
      expect(digests.map((digest) => encodeBase64(digest, 23))).toEqual(made.map((text) => text.slice(29)));
      const answers = await Promise.all(
        made.flatMap((hash) => [first, second].map(([said]) => isRight(hash, said))),
      );
      const isSame = filled(first[0]).equals(filled(second[0]));
      expect(answers).toEqual([true, isSame, isSame, true]);
    }),
    { numRuns: 100 },
  );
});

test("of three of different costs at the same time, each is right", async () => {
  const made = [4, 5, 4].map((cost) => hashSync("correct horse", `$2y$0${cost}$abcdefghijklmnopqrstuu`));
  expect(await Promise.all(made.map((hash) => isRight(hash, "correct horse")))).toEqual([true, true, true]);
  expect(await Promise.all(made.map((hash) => isRight(hash, "battery staple")))).toEqual([
    false,
    false,
    false,
  ]);
});

test("a salt whose last character has bits that are not used is damaged, as for crypt(3)", async () => {
  const made = hashSync("correct horse", "$2b$04$abcdefghijklmnopqrstuu");
  expect(await isRight(made, "correct horse")).toBe(true);
  const damaged = `${made.slice(0, 28)}v${made.slice(29)}`;
  expect(await isRight(damaged, "correct horse")).toBe(false);
  const both = [isRight(damaged, "correct horse"), isRight(made, "correct horse")];
  expect(await Promise.all(both)).toEqual([false, true]);
});

test("the version with the sign bug is checked by nobody", () => {
  expect(readStored("$2x$05$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW")).toEqual({
    problem: "bcrypt with the sign bug of 2011 ($2x$) is not supported",
  });
});
