import { execFile } from "node:child_process";
import { promisify } from "node:util";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { findScheme } from "../../src/passwd/schemes.ts";
import { createStored, readStored, verifyStored } from "../../src/passwd/stored.ts";
import { real } from "../tools/real.ts";

const call = promisify(execFile);

/** One line "crypt(password, setting)" in hex for each pair of arguments in hex. */
const script = `
  while (@ARGV) {
    my ($password, $setting) = map { pack "H*", $_ } splice @ARGV, 0, 2;
    print unpack("H*", crypt($password, $setting)), "\\n";
  }`;

/** libc's crypt(3) of each password with each setting, in order. */
async function libc(pairs: readonly (readonly [password: string, setting: string])[]): Promise<string[]> {
  const hex = pairs.flat().map((text) => Buffer.from(text).toString("hex"));
  const { stdout } = await call("perl", ["-e", script, "--", ...hex]);
  return stdout
    .trimEnd()
    .split("\n")
    .map((line) => Buffer.from(line, "hex").toString());
}

/** Any text without NUL, where C strings end. */
const passwords = fc.sample(
  fc.string({ unit: "binary", minLength: 0, maxLength: 200 }).filter((text) => !text.includes("\0")),
  { numRuns: 40, seed: 3 },
);

const salt = (length: number) =>
  fc.string({
    unit: fc.constantFrom(".", "/", "0", "9", "A", "Z", "a", "z"),
    minLength: length,
    maxLength: length,
  });

describe.skipIf(!real("perl"))("with crypt(3) of libc", () => {
  test.each([
    ["DES-CRYPT", 0, salt(2)],
    ["MD5-CRYPT", 0, salt(8).map((text) => `$1$${text}$`)],
    ["SHA256-CRYPT", 1000, salt(16).map((text) => `$5$rounds=1000$${text}$`)],
    [
      "SHA512-CRYPT",
      1001,
      fc.tuple(salt(3), fc.constantFrom("1000", "1001")).map(([text, n]) => `$6$rounds=${n}$${text}$`),
    ],
    ["SHA512-CRYPT", 5000, salt(16).map((text) => `$6$${text}$`)],
    ["CRYPT", 4, salt(21).map((text) => `$2b$04$${text}.`)],
  ])("%s at %i rounds: both make the same of random passwords", async (name, rounds, settings) => {
    const scheme = findScheme(name);
    if (!scheme) throw new Error(`no ${name}`);
    const some = passwords.slice(0, rounds === 5000 ? 10 : 40);
    const theirs = await libc(
      fc.sample(settings, { numRuns: some.length, seed: 4 }).map((setting, at) => [some[at] ?? "", setting]),
    );
    for (const [at, password] of some.entries()) {
      const stored = readStored(theirs[at] ?? "");
      if ("problem" in stored) throw new Error(`${theirs[at]}: ${stored.problem}`);
      expect(await verifyStored(stored, { password, names: [] }), theirs[at]).toBe(true);
      expect(await verifyStored(stored, { password: `x${password}`, names: [] }), theirs[at]).toBe(false);
    }

    const short = some.filter((password) => Buffer.byteLength(password) <= (scheme.longest ?? 1024));
    const ours = await Promise.all(
      short.map(async (password) => {
        const { value } = await createStored(scheme, rounds, { password, names: [] });
        return [password, value.toString()] as const;
      }),
    );
    expect(await libc(ours)).toEqual(ours.map(([, hash]) => hash));
  });
});
