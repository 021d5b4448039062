/** What `tpa-submit check` says of the keys in the folder, the DNS not asked. */
import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { mkdir, mkdtemp, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { CheckContext } from "../../../src/commands/check/context.ts";
import { dkim } from "../../../src/commands/check/dkim.ts";
import { pairs } from "../../server/delivery/dkim/site.ts";

const now = Date.UTC(2026, 10, 29, 12);
const day = 86_400_000;

let folder = "";
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-dkim-"));
  await mkdir(join(folder, "example.org"));
});
afterEach(() => rm(folder, { recursive: true }));

const [short, usual] = [generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey, pairs.rsa.privateKey];

async function put(name: string, days: number, key: KeyObject = usual): Promise<void> {
  const path = join(folder, "example.org", name);
  await writeFile(path, key.export({ type: "pkcs8", format: "pem" }), { mode: 0o640 });
  const made = (now - days * day) / 1000;
  await utimes(path, made, made);
}

/** As "state: words", without the folder's path. */
async function found(send = false, hostname = "relay.example.org"): Promise<readonly string[]> {
  const spool = { lifetime: 5 * day, "report-lifetime": 5 * day };
  const context = {
    config: { hostname, dkim: { folder }, domains: [], spool, "tls-reports": { send } },
    now: () => now,
  } as unknown as CheckContext;
  return (await dkim(context)).map(({ state, words }) => `${state}: ${words}`);
}

test("two keys that are well", async () => {
  await put("a.rsa.pem", 30);
  await put("b.ed25519.pem", 10, pairs.ed25519.privateKey);
  expect(await found()).toEqual(["ok: signed by a (rsa, 30 days old), b (ed25519, 10 days old)"]);
});

test("no key yet", async () => {
  expect(await found()).toEqual(["warning: no key signs yet"]);
});

test("reports about TLS, which count where a key of the relay's own name or above signs", async () => {
  const unsigned = /^warning: no key of (relay\.example\.(org|net)) .* receivers pass over reports by mail/;
  await put("a.rsa.pem.new", 1);
  expect((await found(true))[1]).toMatch(unsigned);
  await put("a.rsa.pem", 1);
  expect(await found(true)).toEqual(["ok: signed by a (rsa, 1 days old)"]);
  expect((await found(true, "relay.example.net"))[1]).toMatch(unsigned);
  const own = folder;
  folder = ""; // dkim.folder is not set
  expect(await found(true)).toEqual([expect.stringMatching(unsigned)]);
  expect(await found()).toEqual([]);
  folder = own;
});

test("an old one, a short one, Ed25519 alone", async () => {
  await put("a.rsa.pem", 401, short);
  expect((await found()).slice(1)).toEqual([
    "warning: the key of a is short: receivers advise 2048 bits",
    "warning: the key of a is 401 days old",
  ]);
  await rm(join(folder, "example.org", "a.rsa.pem"));
  await put("b.ed25519.pem", 1, pairs.ed25519.privateKey);
  expect((await found()).slice(1)).toEqual(["warning: has no RSA key, and many receivers know no other"]);
});

test("a new one that was forgotten, an old one whose time is over", async () => {
  await put("a.rsa.pem", 1);
  await put("c.rsa.pem.new", 31);
  await put("d.rsa.pem.new", 29);
  await put("old.rsa.pem.retired-20261101T120000Z", 500);
  await put("late.rsa.pem.retired-20261128T120000Z", 500);
  expect((await found()).slice(1).toSorted()).toEqual([
    "ok: old has had its time: tpa-submit dkim retire example.org, then remove its record",
    "warning: the new key of c waits for weeks",
  ]);
});

test("a key that cannot be used", async () => {
  await writeFile(join(folder, "example.org", "a.rsa.pem"), "none", { mode: 0o640 });
  expect(await found()).toEqual([
    expect.stringMatching(/^failed: .*a\.rsa\.pem: expected a private key in PEM without a passphrase$/),
  ]);
});
