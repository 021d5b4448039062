/** A login whose line in the password file goes or changes while it is inside. */
import { createHmac } from "node:crypto";
import { expect, test } from "vitest";
import { newSaslLogins } from "../../../src/passwd/sasl-logins.ts";
import { loginsOf } from "../../tools/logins.ts";
import { amidMessage, ask, greeted, loggedIn, noBug, opened, texts } from "./test-clients.ts";

/** A password file of one login, whose hash can be changed. */
function file() {
  let hash: string | undefined = "first";
  return {
    set: (next: string | undefined) => {
      hash = next;
    },
    hashes: async () => (hash === undefined ? [] : [hash]),
    hashesUnchanged: (_: string, known: readonly string[]) =>
      known.every((one) => one === hash) && hash !== undefined,
  };
}

test.each([["another"], [undefined]])("hears 421 at its next command: %s", async (next) => {
  const passwords = file();
  const server = await opened("smtps", passwords);
  const client = await loggedIn(server);
  expect(await ask(client, "NOOP")).toMatch(/^250 /);
  passwords.set(next);
  expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^421 4\.7\.0 /);
  expect(await client.line()).toBeUndefined();
  expect(texts(server)).toContain(
    "session ended, the login was removed, locked or given another hash: unknown[127.0.0.1], sasl_username=user1",
  );
  noBug(server);
});

test("a new login is let in with the new hash", async () => {
  const passwords = file();
  const server = await opened("smtps", passwords);
  passwords.set("another");
  const client = await loggedIn(server);
  expect(await ask(client, "NOOP")).toMatch(/^250 /);
});

test("a message that has come is answered, and then it is over", async () => {
  const passwords = file();
  const server = await opened("smtps", passwords);
  const client = await amidMessage(server);
  passwords.set(undefined);
  expect(await ask(client, "\r\n.")).toMatch(/^250 /);
  expect(await ask(client, "NOOP")).toMatch(/^421 /);
  noBug(server);
});

test("who came in by a challenge is sent away as well", async () => {
  const passwords = file();
  const proofs = newSaslLogins(
    async () => loginsOf("user1:{PLAIN}secret"),
    "example.org",
    Buffer.from("secret of the host"),
  );
  const server = await opened("smtps", { ...passwords, proofs, challenges: ["CRAM-MD5"] });
  const client = await greeted(server);
  const challenge = Buffer.from((await ask(client, "AUTH CRAM-MD5"))?.slice(4) ?? "", "base64");
  const digest = createHmac("md5", "secret").update(challenge).digest("hex");
  expect(await ask(client, Buffer.from(`user1 ${digest}`).toString("base64"))).toMatch(/^235 /);
  passwords.set("another");
  expect(await ask(client, "NOOP")).toMatch(/^421 /);
  noBug(server);
});
