import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { Failure } from "../../src/failure.ts";
import { schemes } from "../../src/passwd/schemes.ts";
import { createStored, formatStored, readStored, verifyStored } from "../../src/passwd/stored.ts";

const password = "correct horse";
const stranger = "a stranger's password";
const names = ["user1@example.org", "user1"];

async function admits(hash: string, said: string): Promise<boolean> {
  const stored = readStored(hash);
  return !("problem" in stored) && verifyStored(stored, { password: said, names });
}

/** Quick values only: what a check may cost at most is shown below. */
const quick = schemes.filter(({ name }) => !name.startsWith("ARGON2"));

const hashes = await Promise.all(
  quick.map(async (scheme) => {
    const said = password.slice(0, scheme.longest ?? 1024);
    const rounds = scheme.rounds?.least ?? 0;
    const { value } = await createStored(scheme, rounds, { password: said, names });
    return formatStored({ scheme, suffix: "" }, value);
  }),
);

/** One of the hashes with a piece of it cut out, doubled or replaced by something else. */
const mutated = fc
  .record({
    hash: fc.constantFrom(...hashes),
    from: fc.nat(130),
    length: fc.nat(8),
    piece: fc.oneof(
      fc.string({ unit: "binary", maxLength: 6 }),
      fc.constantFrom("$", ":", "}", "{", "=", ",", "0", "9"),
    ),
  })
  .map(({ hash, from, length, piece }) => hash.slice(0, from) + piece + hash.slice(from + length))
  // keeps a run short; more is refused or capped, see below
  .filter((hash) => !/\$2[aby]\$(0[6-9]|1)|rounds=\d{5}|\$\d{6}\$|\}\d{6}/.test(hash));

describe("a stranger", () => {
  test("is let in by no mutated hash", { timeout: 120_000 }, async () => {
    await fc.assert(
      fc.asyncProperty(mutated, async (hash) => {
        expect(await admits(hash, stranger), JSON.stringify(hash)).toBe(false);
      }),
      { numRuns: 1500, seed: 1 },
    );
  });

  test("is let in by nothing random, with a known prefix or without", async () => {
    const starts = [
      "",
      "$1$",
      "$2y$04$",
      "$5$",
      "$6$",
      "$apr1$",
      "$argon2id$v=19$",
      ...schemes.map(({ name }) => `{${name}}`),
    ];
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...starts), fc.string({ unit: "binary" }), async (start, rest) => {
        expect(await admits(start + rest, stranger), JSON.stringify(start + rest)).toBe(false);
      }),
      { numRuns: 2000, seed: 2 },
    );
  });
});

test("one changed character of a hash shuts everybody out, or means the same", {
  timeout: 60_000,
}, async () => {
  for (const hash of hashes.filter((text) => !/PLAIN|CLEAR|DES/.test(text))) {
    const last = hash.length - 1 - (hash.endsWith("=") ? 2 : 0);
    for (const at of [hash.indexOf("}") + 2, last - 5, last]) {
      const changed = hash.slice(0, at) + (hash[at] === "0" ? "1" : "0") + hash.slice(at + 1);
      expect(await admits(changed, password), changed).toBe(false);
    }
  }
});

describe("a hash that would cost too much is refused before it is computed", () => {
  const digits = "0".repeat(43);
  test.each([
    [`$2y$16$${"a".repeat(53)}`],
    [`$2y$31$${"a".repeat(53)}`],
    [`$2y$99$${"a".repeat(53)}`],
    [`$5$rounds=500001$salt$${digits}`],
    [`$6$rounds=999999999$salt$${"0".repeat(86)}`],
    [`{PBKDF2}$1$salt$1000001$${"0".repeat(40)}`],
    [`{PBKDF2}$1$salt$4294967295$${"0".repeat(40)}`],
    [`{SCRAM-SHA-1}1000001,c2FsdA==,${"A".repeat(27)}=,${"A".repeat(27)}=`],
    [`{ARGON2ID}$argon2id$v=19$m=262145,t=1,p=1$c2FsdHNhbHQ$${digits}`],
    [`{ARGON2ID}$argon2id$v=19$m=262144,t=5,p=1$c2FsdHNhbHQ$${digits}`],
    [`{ARGON2ID}$argon2id$v=19$m=65536,t=17,p=1$c2FsdHNhbHQ$${digits}`],
    [`{ARGON2I}$argon2i$v=19$m=16,t=99999,p=1$c2FsdHNhbHQ$${digits}`],
    [`{ARGON2I}$argon2i$v=19$m=65536,t=3,p=255$c2FsdHNhbHQ$${digits}`],
    ["{OTP}sha1 99999 abcd 0123456789abcdef"],
  ])("%s", (hash) => {
    expect(readStored(hash)).toEqual({
      problem: expect.stringMatching(/is more than the \d+ allowed$/),
    });
  });
});

describe("nothing is cut silently", () => {
  test.each([
    ["BLF-CRYPT", 72],
    ["CRYPT", 72],
    ["DES-CRYPT", 8],
    ["SHA512-CRYPT", 511],
    ["ARGON2ID", 1024],
  ])("%s takes %i octets and refuses one more", async (name, longest) => {
    const scheme = schemes.find((one) => one.name === name);
    if (!scheme) throw new Error(`no ${name}`);
    const attempt = (octets: number) => ({
      password: "é".repeat(octets / 2) + "x".repeat(octets % 2),
      names,
    });
    const made = await createStored(scheme, 0, attempt(longest));
    expect(await verifyStored(made, attempt(longest))).toBe(true);
    await expect(createStored(scheme, 0, attempt(longest + 1))).rejects.toThrow(Failure);
  });
});

test("a password cut to nothing would let everybody in, and is refused", () => {
  expect(readStored("{PLAIN-TRUNC}0-")).toEqual({ problem: expect.stringContaining("everybody") });
});
