import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { loadMd4 } from "../../src/passwd/md4.ts";
import { schemes } from "../../src/passwd/schemes.ts";
import { readStored, verifyStored } from "../../src/passwd/stored.ts";

interface Vector {
  readonly scheme: string;
  readonly password: string;
  readonly hash: string;
  readonly verified: boolean;
  readonly rejects_suffix_X?: boolean;
  readonly user?: string;
}

/** Made by the real doveadm 2.3.19; `verified` is its own opinion of its own output. */
const vectors = JSON.parse(
  readFileSync(new URL("doveadm-vectors.json", import.meta.url), "utf8"),
) as readonly Vector[];

async function admits(hash: string, password: string, user = ""): Promise<boolean> {
  const stored = readStored(hash);
  return !("problem" in stored) && verifyStored(stored, { password, names: [user] });
}

describe("hashes made by doveadm", () => {
  const names = [...new Set(vectors.map(({ scheme }) => scheme))];

  test("cover every scheme", () => {
    expect(names).toEqual(expect.arrayContaining(schemes.map(({ name }) => name)));
  });

  for (const scheme of names) {
    const some = vectors.filter((vector) => vector.scheme === scheme);
    // The dearest take seconds each where nothing else runs.
    test(`${scheme}: ${some.length} let their passwords in, and no other`, { timeout: 240_000 }, async () => {
      for (const { hash, password, verified, rejects_suffix_X, user } of some) {
        expect(await admits(hash, password, user), hash).toBe(verified);
        // one wrong password for each cost is enough: some of these take a second
        if (password !== "correct horse") continue;
        expect(await admits(hash, `${password}X`, user), hash).toBe(rejects_suffix_X !== true);
      }
    });
  }
});

test.each([
  ["", "31d6cfe0d16ae931b73c59d7e0c089c0"],
  ["a", "bde52cb31de33e46245e05fbdbd6fb24"],
  ["abc", "a448017aaf21d8525fc10ae87aa6729d"],
  ["message digest", "d9130a8164549fe818874806e1c7014b"],
  ["abcdefghijklmnopqrstuvwxyz", "d79e1c308aa5bbcdeea8ed63df412da9"],
  ["1234567890".repeat(8), "e33b4ddc9c38f2199c3e7b164fcc0536"],
])("MD4 of %j is as RFC 1320 has it", async (message, digest) => {
  expect((await loadMd4())(Buffer.from(message)).toString("hex")).toBe(digest);
});

test.each([
  ["md4 0 test", "d1854218ebbb0b51"],
  ["md4 1 test", "63473ef01cd0b444"],
  ["md4 99 test", "c5e612776e6c237a"],
  ["md5 0 test", "9e876134d90499dd"],
  ["md5 1 test", "7965e05436f5029f"],
  ["md5 99 test", "50fe1962c4965880"],
  ["sha1 0 test", "bb9e6ae1979d8ff4"],
  ["sha1 1 test", "63d936639734385b"],
  ["sha1 99 test", "87fec7768b73ccf9"],
])("a one-time password of RFC 2289 appendix C lets its pass phrase in: %s", async (front, key) => {
  const hash = `{OTP}${front} ${key}`;
  expect(await admits(hash, "This is a test.")).toBe(true);
  expect(await admits(hash, "This is a test")).toBe(false);
});
