/** A login that is frozen: refused by every mechanism once it has shown who it is, and sent away if it was inside. */
import { expect, test } from "vitest";
import { selfSigned } from "../../tools/certificate.ts";
import { clientCertificate } from "../../tools/client-certificate.ts";
import { clientFinal } from "./auth/scram-client.ts";
import { amidMessage, ask, greeted, loggedIn, noBug, opened, texts } from "./test-clients.ts";
import { pair } from "./test-listener.ts";

const encoded = (text: string): string => Buffer.from(text).toString("base64");
const frozen = { isFrozen: (login: string) => login === "user1" };
const refusal = /^525 5\.7\.13 This login is disabled/;

test("is refused after the right password, as everybody is after a wrong one, and others get in", async () => {
  const server = await opened("smtps", frozen);
  const client = await greeted(server);
  expect(await ask(client, `AUTH PLAIN ${encoded("\0user1\0secret")}`)).toMatch(refusal);
  expect(await ask(client, `AUTH PLAIN ${encoded("\0USER1@example.org\0secret")}`)).toMatch(refusal);
  expect(await ask(client, `AUTH PLAIN ${encoded("\0user1\0wrong")}`)).toMatch(/^535 5\.7\.8 /);
  expect(await ask(client, "AUTH LOGIN")).toMatch(/^334 /);
  expect(await ask(client, encoded("user1"))).toMatch(/^334 /);
  expect(await ask(client, encoded("secret"))).toMatch(refusal);
  expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^530 /);
  expect(await ask(client, `AUTH PLAIN ${encoded("\0user2\0geheim")}`)).toMatch(/^235 /);
  expect(texts(server)).toContain(
    "unknown[127.0.0.1]: SASL PLAIN authentication not allowed: the login is frozen, sasl_username=user1",
  );
  noBug(server);
});

test("is refused by SCRAM and by its certificate", async () => {
  const ca = selfSigned(["ca.example.org"]);
  const server = await opened("smtps", { ...frozen, challenges: ["SCRAM-SHA-256"] });
  server.listener.replaceCertificate({ ...pair, clientCa: ca.cert });
  const client = await greeted(server, true, clientCertificate(ca, ["email:user1@example.org"]));
  expect(await ask(client, "AUTH EXTERNAL =")).toMatch(refusal);
  const first = "n,,n=user1,r=client";
  const said = await ask(client, `AUTH SCRAM-SHA-256 ${encoded(first)}`);
  const serverFinal = Buffer.from((said ?? "").slice(4), "base64").toString();
  const final = clientFinal(
    { digest: "sha256", first, bound: Buffer.alloc(0), password: "secret" },
    serverFinal,
  );
  expect(await ask(client, encoded(final))).toMatch(/^334 /);
  expect(await ask(client, "")).toMatch(refusal);
  noBug(server);
});

test("hears 421 in each of its sessions, and nobody else does", async () => {
  const server = await opened("smtps");
  const [idle, other] = [await loggedIn(server), await greeted(server)];
  const busy = await amidMessage(server);
  expect(await ask(other, `AUTH PLAIN ${encoded("\0user2\0geheim")}`)).toMatch(/^235 /);
  expect(server.listener.endSessions("user1")).toBe(2);
  expect(await idle.line()).toMatch(/^421 4\.7\.0 This login was disabled/);
  expect(await busy.line()).toMatch(/^421 4\.7\.0 /);
  expect(await idle.line()).toBeUndefined();
  expect(await ask(other, "NOOP")).toMatch(/^250 /);
  expect(server.listener.endSessions("user1")).toBe(0);
  expect(server.stored).toEqual([]);
  expect(texts(server)).toContain(
    "session ended, the login is frozen: unknown[127.0.0.1], sasl_username=user1",
  );
  noBug(server);
});

test("has no message accepted that began before", async () => {
  let isFrozen = false;
  const server = await opened("smtps", { isFrozen: () => isFrozen });
  const client = await amidMessage(server);
  isFrozen = true;
  expect(await ask(client, "and the other half\r\n.")).toMatch(/^550 5\.7\.13 /);
  expect(server.stored).toEqual([]);
  expect(server.openDrafts()).toBe(0);
  noBug(server);
});
