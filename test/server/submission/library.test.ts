/**
 * Guards what src/server/submission/smtp-server-insides.ts lists: when a new version of the library changes a method,
 * this fails, names it, and says what to look at before the digest is brought up to date.
 */
import { createHash } from "node:crypto";
import { readdirSync, readFileSync } from "node:fs";
import { createRequire } from "node:module";
import { Socket } from "node:net";
import { SMTPConnection } from "smtp-server/lib/smtp-connection.js";
import { SMTPServer } from "smtp-server/lib/smtp-server.js";
import { SMTPStream } from "smtp-server/lib/smtp-stream.js";
import { describe, expect, test } from "vitest";
import { insides } from "../../../src/server/submission/smtp-server-insides.ts";

const classes = { SMTPConnection, SMTPServer, SMTPStream } as const;

/** Of the methods' sources. */
const digests: Readonly<Record<string, string>> = {
  "SMTPConnection.init": "67b68fcaf9a0",
  "SMTPConnection._createParser": "969851c58da1",
  "SMTPStream._write": "320ae0c4e718",
  "SMTPConnection._armTimeout": "b5bf382e684e",
  "SMTPConnection._onError": "e8f6b8a6a96f",
  "SMTPServer._handleProxy": "95b040fae0e7",
  "SMTPServer._expectsProxyHeader": "19b909b66bd3",
  "SMTPServer._resolveSNI": "bf613c3aeac4",
  "SMTPServer.connect": "760cd6611cf5",
  "SMTPConnection._setListeners": "cbf83a7bef4c",
  "SMTPConnection._onCloseEvent": "bdd86ac20aaf",
  "SMTPConnection._onClose": "4980a7a5f4c3",
  "SMTPConnection.close": "037caa361bbc",
  "SMTPConnection.upgrade": "d9470b13d9d8",
  "SMTPStream._flushData": "7cc58b96b5bd",
  "SMTPServer._acceptSocket": "f37460a82eb1",
  "SMTPServer._upgrade": "252f1aa1e421",
  "SMTPServer._onError": "902a959fc19b",
  "SMTPServer._normalizeHostname": "786ded0d2c23",
  "SMTPServer.updateSecureContext": "b5d71077c3e2",
};

const methods = insides.filter(([, , use]) => use !== "read");
const folder = new URL("../../../src/server/submission/", import.meta.url);

describe("smtp-server", () => {
  test("is the version that was read", () => {
    const file = createRequire(import.meta.url).resolve("smtp-server/package.json");
    expect(JSON.parse(readFileSync(file, "utf8"))).toMatchObject({ version: "3.21.6" });
  });

  test.each(methods)("%s.%s, which is %s: %s", (of, name, _use, assumption) => {
    const member: unknown = Reflect.get(classes[of].prototype, name);
    if (typeof member !== "function") throw new Error(`smtp-server has no ${name} any more: ${assumption}`);
    expect(
      digestOf(member),
      `smtp-server's ${name} changed. Assumed: it ${assumption}. Read the new one.`,
    ).toBe(digests[`${of}.${name}`]);
  });

  test("has each field that is read", () => {
    const server = new SMTPServer({ disableReverseLookup: true });
    const made = {
      SMTPServer: server,
      SMTPStream: new SMTPStream(),
      SMTPConnection: new SMTPConnection(server, new Socket()),
    };
    for (const [of, name] of insides.filter(([, , use]) => use === "read"))
      expect(made[of], `${of}.${name}`).toHaveProperty(name);
  });

  test("is touched nowhere but where the list says", () => {
    const named = readdirSync(folder, { recursive: true, encoding: "utf8" })
      .filter((path) => path.endsWith(".ts") && path !== "smtp-server-insides.ts")
      .flatMap((path) => [
        ...readFileSync(new URL(path, folder), "utf8").matchAll(/(?:\w\??\.|override )(_\w+)/g),
      ])
      .map(([, name]) => name);
    // Writable's own, which every stream has.
    const ours = new Set(named.filter((name) => name !== "_final"));
    const listed = new Set(insides.map(([, name]) => name).filter((name) => name.startsWith("_")));
    expect([...ours].filter((name) => !listed.has(name ?? ""))).toEqual([]);
  });
});

function digestOf(member: { toString(): string }): string {
  return createHash("sha256").update(member.toString().replace(/\s+/g, " ")).digest("hex").slice(0, 12);
}
