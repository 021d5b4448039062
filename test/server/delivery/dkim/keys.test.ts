import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { chmod, mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { readSigningKeys } from "../../../../src/server/delivery/dkim/keys.ts";
import { pairs } from "./site.ts";

let root = "";

beforeEach(async () => {
  root = await mkdtemp(join(tmpdir(), "tpa-submit-dkim-"));
});

afterEach(() => rm(root, { recursive: true }));

const pem = (key: KeyObject): string => key.export({ type: "pkcs8", format: "pem" }).toString();

async function put(path: string, text: string, mode = 0o640): Promise<void> {
  const file = join(root, path);
  await mkdir(join(file, ".."), { recursive: true });
  await writeFile(file, text);
  await chmod(file, mode);
}

test("keys are found by domain, RSA first; what does not end in .pem waits", async () => {
  await put("example.org/a.ed25519.pem", pem(pairs.ed25519.privateKey));
  await put("example.org/b.rsa.pem", pem(pairs.rsa.privateKey), 0o600);
  await put("example.org/c.rsa.pem.new", "nothing");
  await put("example.net/2026.x.rsa.pem", pem(pairs.rsa.privateKey));
  await put("README", "nothing");
  await mkdir(join(root, "example.com"));
  const keys = await readSigningKeys(root);
  expect([...keys].map(([domain, found]) => [domain, found.map(({ selector }) => selector)])).toEqual([
    ["example.net", ["2026.x"]],
    ["example.org", ["b", "a"]],
  ]);
});

describe("refused in one line, without a word of the key:", () => {
  const rsa = pem(pairs.rsa.privateKey);

  test.each([
    ["a key that others can use", "a.rsa.pem", rsa, 0o644, /found mode 0644; chmod 640 it$/],
    ["a key of another kind", "a.ed25519.pem", rsa, 0o600, /expected a key of kind ed25519, found rsa$/],
    [
      "a short one",
      "a.rsa.pem",
      pem(generateKeyPairSync("rsa", { modulusLength: 512 }).privateKey),
      0o600,
      /1024 to 4096 bits, best 2048, found 512$/,
    ],
    ["what is no key", "a.rsa.pem", "secret", 0o600, /expected a private key in PEM without a passphrase$/],
    [
      "a public key",
      "a.rsa.pem",
      pairs.rsa.publicKey.export({ type: "spki", format: "pem" }).toString(),
      0o600,
      /expected a private key/,
    ],
    ["another name", "a.pem", rsa, 0o600, /a\.pem: expected a name such as 2026a\.rsa\.pem/],
  ])("%s", async (_, name, text, mode, words) => {
    await put(`example.org/${name}`, text, mode);
    const error = await readSigningKeys(root).catch((one: unknown) => one);
    expect(error).toMatchObject({ message: expect.stringMatching(words), status: 78 });
    expect(String(error)).not.toMatch(/secret|BEGIN|\n/);
  });

  test("two keys for one selector", async () => {
    await put("example.org/a.rsa.pem", rsa);
    await put("example.org/a.ed25519.pem", pem(pairs.ed25519.privateKey));
    await expect(readSigningKeys(root)).rejects.toThrow(
      "found two for a; give one of them a selector of its own",
    );
  });

  test("a folder that is not there", async () => {
    await expect(readSigningKeys(join(root, "none"))).rejects.toThrow(/ENOENT.*; dkim\.folder names it$/);
  });
});
