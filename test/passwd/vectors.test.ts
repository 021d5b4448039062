import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
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
