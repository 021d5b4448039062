import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { schemes } from "../../src/passwd/schemes.ts";
import { createStored, formatStored, readStored, verifyStored } from "../../src/passwd/stored.ts";
import { real } from "../tools/real.ts";

const call = promisify(execFile);

const user = "user1@example.org";

/** What people and their password managers come up with, and what breaks programs. */
const awkward = ["", ' it\'s "quoted": `$HOME` {PLAIN}$1$ \\ %u ', "-pässwörd-日本語-🔑", "0".repeat(200)];

/** As long as bcrypt looks, and one more. */
const edges = ["a".repeat(72), "a".repeat(73)];

/** Printable text of 1 to 200 characters. */
const printable = fc
  .string({ unit: "grapheme", minLength: 1, maxLength: 200 })
  .filter((text) => !/[\p{Cc}\p{Cs}]/u.test(text));

async function admits(hash: string, password: string): Promise<boolean> {
  const stored = readStored(hash);
  return !("problem" in stored) && verifyStored(stored, { password, names: [user] });
}

describe.skipIf(!real("dovecot", "doveadm"))("with the real doveadm", () => {
  async function doveadmAccepts(hash: string, password: string): Promise<boolean> {
    const { stdout } = await call("doveadm", ["pw", "-u", user, "-t", hash, "-p", password]).catch(
      (error: { readonly code?: unknown; readonly stderr?: string }) => {
        if (error.code !== 75) throw error;
        return { stdout: "" };
      },
    );
    return stdout.endsWith(" (verified)\n");
  }

  test("the list of schemes is the same, in the same order", async () => {
    const { stdout } = await call("doveadm", ["pw", "-l"]);
    expect(stdout.trim().split(" ")).toEqual(schemes.map(({ name }) => name));
  });

  describe.each(schemes.map((scheme, at) => [scheme.name, scheme, at] as const))("%s", (name, scheme, at) => {
    const rounds = name.endsWith("CRYPT") ? (scheme.rounds?.least ?? 0) : 0; // the quickest
    const random = fc.sample(printable, { numRuns: 2, seed: at });
    const edge = scheme.longest === 72 ? edges : [];
    const passwords = name.startsWith("ARGON2") ? awkward.slice(0, 3) : [...awkward, ...edge, ...random];

    test("ours is accepted, and with another password it is not", { timeout: 120_000 }, async () => {
      const short = passwords.filter((password) => Buffer.byteLength(password) <= (scheme.longest ?? 1024));
      for (const password of short) {
        const { value } = await createStored(scheme, rounds, { password, names: [user] });
        const hash = formatStored({ scheme, suffix: "" }, value);
        expect(await doveadmAccepts(hash, password), hash).toBe(true);
      }
      const { value } = await createStored(scheme, rounds, { password: "right", names: [user] });
      expect(await doveadmAccepts(formatStored({ scheme, suffix: "" }, value), "wrong")).toBe(false);
    });

    test("and ours in hex and base 64", async () => {
      const attempt = { password: "a:b", names: [user] };
      const { value } = await createStored(scheme, rounds, attempt);
      for (const suffix of ["HEX", "B64"]) {
        const hash = formatStored({ scheme, suffix }, value);
        expect(await doveadmAccepts(hash, "a:b"), hash).toBe(true);
        expect(await admits(hash, "a:b"), hash).toBe(true);
      }
    });

    // doveadm does not accept its own {PLAIN-TRUNC}
    test.skipIf(name === "PLAIN-TRUNC")("doveadm's is accepted here", { timeout: 120_000 }, async () => {
      for (const password of passwords) {
        const asked = rounds > 0 ? ["-r", String(rounds)] : [];
        const { stdout } = await call("doveadm", ["pw", "-s", name, "-u", user, ...asked, "-p", password]);
        const hash = stdout.replace(/\n$/, "");
        expect(await admits(hash, password), hash).toBe(true);
        expect(await admits(hash, `x${password}`), hash).toBe(false);
      }
    });
  });
});
