/** What TLS tells of a client: certificates that log in (SASL EXTERNAL), and octets that SCRAM binds itself to. */
import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, TLSSocket } from "node:tls";
import { afterAll, describe, expect, test } from "vitest";
import { readCertificate } from "../../../../src/server/submission/certificate.ts";
import { addressIn } from "../../../../src/server/submission/tls.ts";
import { selfSigned } from "../../../tools/certificate.ts";
import { clientCertificate } from "../../../tools/client-certificate.ts";
import type { Client } from "../client.ts";
import { ask, connected, greeted, noBug, opened, texts } from "../test-clients.ts";
import { pair, type TestListener } from "../test-listener.ts";
import { clientFinal } from "./scram-client.ts";

const ca = selfSigned(["ca.example.org"]);
const user1 = clientCertificate(ca, ["email:user1@example.org"]);

/** A listener for TLS that asks for certificates of `ca`. */
async function asking(): Promise<TestListener> {
  const server = await opened("smtps");
  server.listener.replaceCertificate({ ...pair, clientCa: ca.cert });
  return server;
}

const encoded = (text: string): string => Buffer.from(text).toString("base64");

/** The mechanisms that EHLO announces. */
async function offered(client: Client): Promise<string> {
  await client.send("EHLO client.example\r\n");
  let found = "";
  for (let line = await client.line(); line !== undefined; line = await client.line()) {
    if (line.startsWith("250-AUTH ")) found = line.slice(9);
    if (line.startsWith("250 ")) break;
  }
  return found;
}

test("the address of a certificate is the first of any of our domains", () => {
  const addresses = ["email:anna@example.com", "email:Anna@example.NET", "email:anna@example.org"];
  const certificate = new X509Certificate(clientCertificate(ca, addresses).cert);
  expect(addressIn(certificate, "example.org")).toBe("anna@example.org");
  expect(addressIn(certificate, "example.org", "example.net")).toBe("Anna@example.NET");
  expect(addressIn(certificate, "example.edu")).toBeUndefined();
});

describe("a client certificate", () => {
  test("logs in the login whose address it names", async () => {
    const server = await asking();
    const client = await greeted(server, true, user1);
    expect(await offered(client)).toBe("PLAIN LOGIN EXTERNAL");
    expect(await ask(client, "AUTH EXTERNAL =")).toBe("235 2.7.0 Authentication successful");
    expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
    expect(texts(server)).toContain(
      "unknown[127.0.0.1]: SASL EXTERNAL authentication succeeded, sasl_username=user1@example.org",
    );
    noBug(server);
  });

  test.each([
    ["an empty challenge", "", "235"],
    ["its own name", encoded("user1@example.org"), "235"],
    ["its login", encoded("user1"), "235"],
    ["somebody else's name", encoded("user2"), "535"],
  ])("may answer with %s (RFC 4422 appendix A)", async (_, response, code) => {
    const client = await greeted(await asking(), true, user1);
    expect(await ask(client, "AUTH EXTERNAL")).toBe("334 ");
    expect(await ask(client, response)).toMatch(new RegExp(`^${code} `));
  });

  test("is of no use once its login is gone, which looks like a wrong password to fail2ban", async () => {
    const server = await asking();
    const client = await greeted(server, true, clientCertificate(ca, ["email:gone@example.org"]));
    expect(await ask(client, "AUTH EXTERNAL =")).toMatch(/^535 5\.7\.8 /);
    expect(texts(server)).toContain(
      "unknown[127.0.0.1]: SASL PLAIN authentication failed: unknown user (by EXTERNAL), sasl_username=gone@example.org",
    );
  });

  test.each<[string, ConnectionOptions]>([
    ["no certificate", {}],
    ["one of another CA", clientCertificate(selfSigned(["other.example.org"]), ["email:user1@example.org"])],
    ["one that nobody signed", selfSigned(["user1.example.org"])],
    ["one for servers", clientCertificate(ca, ["email:user1@example.org"], "serverAuth")],
    ["one for another domain", clientCertificate(ca, ["email:user1@example.net"])],
    ["one with a name that is no address", clientCertificate(ca, ["DNS:user1.example.org"])],
    ["one with an address in another kind of name", clientCertificate(ca, ["URI:mailto:user1@example.org"])],
  ])("is not asked of anybody: with %s the password does", async (_, options) => {
    const client = await greeted(await asking(), true, options);
    expect(await offered(client)).toBe("PLAIN LOGIN");
    expect(await ask(client, "AUTH EXTERNAL =")).toMatch(/^504 /);
    expect(await ask(client, `AUTH PLAIN ${encoded("\0user1\0secret")}`)).toMatch(/^235 /);
  });

  test("takes the first address of the domain", async () => {
    const names = ["email:user1@example.net", "email:User2@Example.org", "email:user1@example.org"];
    const client = await greeted(await asking(), true, clientCertificate(ca, names));
    await ask(client, "AUTH EXTERNAL =");
    expect(await ask(client, "MAIL FROM:<user2@example.org>")).toMatch(/^250 /);
  });

  test("counts under each of the server's names", async () => {
    const server = await opened("smtps");
    const other = { ...selfSigned(["mail.example.com"]), hosts: ["mail.example.com"] };
    server.listener.replaceCertificate({ ...pair, clientCa: ca.cert, others: [other] });
    const client = await greeted(server, true, { ...user1, servername: "mail.example.com" });
    expect(await ask(client, "AUTH EXTERNAL =")).toMatch(/^235 /);
  });

  test("is not asked for without a CA, nor behind STARTTLS (RFC 8314 section 4.2)", async () => {
    const plain = await opened("smtps");
    expect(await offered(await greeted(plain, true, user1))).toBe("PLAIN LOGIN");
    const other = await opened("submission");
    other.listener.replaceCertificate({ ...pair, clientCa: ca.cert });
    const client = await greeted(other, false);
    await ask(client, "STARTTLS");
    await client.startTls(user1);
    expect(await offered(client)).toBe("PLAIN LOGIN");
  });

  test.each(["TLSv1.2", "TLSv1.3"] as const)(
    "still counts when its %s session is resumed",
    async (version) => {
      const server = await asking();
      const options = { ...user1, minVersion: version, maxVersion: version, rejectUnauthorized: false };
      const first = connectTls({ port: server.port, host: "127.0.0.1", ...options });
      const [session] = await once(first, "session");
      first.destroy();
      const client = await greeted(server, true, { ...options, session });
      const socket = client.socket();
      expect(socket instanceof TLSSocket && socket.isSessionReused()).toBe(true);
      expect(await offered(client)).toBe("PLAIN LOGIN EXTERNAL");
      expect(await ask(client, "AUTH EXTERNAL =")).toMatch(/^235 /);
    },
  );
});

describe("the file with the CA of clients", () => {
  const folder = mkdtempSync(join(tmpdir(), "tpa-submit-ca-"));
  const at = (name: string): string => join(folder, name);
  afterAll(() => rmSync(folder, { recursive: true }));

  async function read(file: string, text?: string): Promise<string> {
    writeFileSync(at("cert.pem"), pair.cert);
    writeFileSync(at("key.pem"), pair.key);
    if (text !== undefined) writeFileSync(at(file), text);
    const files = { certificate: at("cert.pem"), key: at("key.pem"), "client-ca": at(file), more: [] };
    return (await readCertificate(files)).clientCa;
  }

  test("is read with the certificate", async () => {
    expect(await read("ca.pem", ca.cert)).toBe(ca.cert);
  });

  test("is named where it cannot be used", async () => {
    await expect(read("missing.pem")).rejects.toThrow(
      `${at("missing.pem")}: cannot be read (there is no such file); tls.client-ca says where it is`,
    );
    await expect(read("text.pem", "no certificate\n")).rejects.toThrow(
      `${at("text.pem")}: expected a certificate in PEM form`,
    );
  });
});

describe("SCRAM-SHA-256-PLUS", () => {
  const first = "p=tls-exporter,,n=user1,r=client";
  const challenges = ["SCRAM-SHA-256"] as const;

  /** The last message of a client that knows the password and binds itself to the TLS session of `other`. */
  async function lastFor(client: Client, other: Client): Promise<string> {
    const socket = other.socket();
    if (!(socket instanceof TLSSocket)) throw new Error("no TLS");
    const bound = socket.exportKeyingMaterial(32, "EXPORTER-Channel-Binding", Buffer.alloc(0));
    const said = await ask(client, `AUTH SCRAM-SHA-256-PLUS ${encoded(first)}`);
    const server = Buffer.from(said?.slice(4) ?? "", "base64").toString();
    return encoded(clientFinal({ digest: "sha256", first, bound, password: "secret" }, server));
  }

  test("is offered over TLS 1.3, and ties the login to its connection", async () => {
    const server = await opened("smtps", { challenges });
    const client = await greeted(server);
    const other = await connected(server);
    expect(await offered(client)).toBe("PLAIN LOGIN SCRAM-SHA-256 SCRAM-SHA-256-PLUS");
    expect(await ask(client, await lastFor(client, other))).toMatch(/^535 /);
    expect(await ask(client, await lastFor(client, client))).toMatch(/^334 dj/);
    expect(await ask(client, "")).toMatch(/^235 /);
    expect(texts(server)).toContain(
      "unknown[127.0.0.1]: SASL PLAIN authentication failed: channel binding of another connection (by SCRAM-SHA-256-PLUS), sasl_username=user1",
    );
  });

  test("is tied to the TLS that STARTTLS began, too", async () => {
    const client = await greeted(await opened("submission", { challenges }), false);
    await ask(client, "STARTTLS");
    await client.startTls();
    await ask(client, "EHLO client.example");
    expect(await ask(client, await lastFor(client, client))).toMatch(/^334 dj/);
    expect(await ask(client, "")).toMatch(/^235 /);
  });

  test("is not offered over TLS 1.2, whose sessions can be made alike", async () => {
    const server = await opened("smtps", { challenges });
    const client = await greeted(server, true, { maxVersion: "TLSv1.2" });
    expect(await offered(client)).toBe("PLAIN LOGIN SCRAM-SHA-256");
    expect(await ask(client, `AUTH SCRAM-SHA-256-PLUS ${encoded(first)}`)).toMatch(/^504 /);
  });
});
