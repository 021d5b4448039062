/** Certificates: which names get which, what a chain lacks, and what is said of them. */
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type ConnectionOptions, connect as connectTls, rootCertificates } from "node:tls";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { logCertificates, warnDaily } from "../../../src/commands/serve/certificates.ts";
import { logTo } from "../../../src/server/log/log.ts";
import { type Certificates, chainGap, readCertificate } from "../../../src/server/submission/certificate.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { clientCertificate as signedBy } from "../../tools/client-certificate.ts";
import { ask, connected, greeted, opened } from "./test-clients.ts";
import { pair } from "./test-listener.ts";

describe("chainGap()", () => {
  const ca = selfSigned(["ca.example.org"]);
  const { cert } = signedBy(ca, ["DNS:mail.example.org"], "serverAuth");

  test.each([
    ["a certificate that has signed itself", ca.cert],
    ["a certificate with its root", cert + ca.cert],
    ["one of Mozilla's roots", rootCertificates[0] ?? ""],
  ])("misses nothing in %s", (_, pem) => expect(chainGap(pem)).toBeUndefined());

  test("names who signed the last one", () => {
    expect(chainGap(cert)).toBe("it lacks the certificate of CN=ca.example.org, which clients may not know");
  });

  test("finds one that is in the wrong place", () => {
    expect(chainGap(cert + pair.cert + ca.cert)).toBe(
      "the certificate number 2 in it did not sign the one before",
    );
  });
});

describe("a client", () => {
  const [second, third] = [selfSigned(["mail.example.com", "*.example.com"]), selfSigned(["*.example.net"])];
  const certificates = {
    ...pair,
    hosts: ["relay.example.org"],
    others: [
      { ...second, hosts: ["mail.example.com", "*.example.com", "relay.example.org", "*.example.org"] },
      { ...third, hosts: ["*.example.net", "mail.example.com"] },
    ],
  };
  const expected: readonly (readonly [asked: string, common: string])[] = [
    ["mail.example.com", "mail.example.com"],
    ["MAIL.example.com", "mail.example.com"],
    ["smtp.example.com", "mail.example.com"],
    ["smtp.example.net", "*.example.net"],
    ["a.smtp.example.net", "relay.example.org"],
    ["relay.example.org", "relay.example.org"],
    ["other.example.org", "mail.example.com"],
    ["unheard.example", "relay.example.org"],
    ["localhost", "relay.example.org"],
  ];

  test.each(expected)("inside TLS that asks for %s gets %s", async (servername, common) => {
    const server = await opened("smtps");
    server.listener.replaceCertificate(certificates);
    expect(await commonName({ port: server.port, host: "127.0.0.1", servername })).toBe(common);
  });

  test("is served likewise after STARTTLS, and without a name gets the host's own", async () => {
    const server = await opened("submission");
    server.listener.replaceCertificate(certificates);
    for (const [servername, common] of [
      ["smtp.example.com", "mail.example.com"],
      ["", "relay.example.org"],
    ]) {
      const client = await greeted(server, false);
      await ask(client, "STARTTLS");
      expect(await commonName({ socket: client.socket(), ...(servername && { servername }) })).toBe(common);
    }
  });

  test("gets the old ones where one of the new is bad, and none that is no longer there", async () => {
    const server = await opened("smtps");
    server.listener.replaceCertificate(certificates);
    const mixed = { key: third.key, cert: second.cert, hosts: ["mail.example.com"] };
    expect(() => server.listener.replaceCertificate({ ...pair, others: [mixed] })).toThrow();
    const asking = { port: server.port, host: "127.0.0.1", servername: "mail.example.com" };
    expect(await commonName(asking)).toBe("mail.example.com");
    server.listener.replaceCertificate(pair);
    expect(await commonName(asking)).toBe("relay.example.org");
    await connected(server);
  });
});

function commonName(options: ConnectionOptions): Promise<string | string[] | undefined> {
  return new Promise((resolve, reject) => {
    const socket = connectTls({ ...options, rejectUnauthorized: false });
    socket.on("error", reject).on("secureConnect", () => {
      resolve(socket.getPeerCertificate().subject.CN);
      socket.destroy();
    });
  });
}

describe("readCertificate()", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-certificates-"));
    await write("own", pair);
    await write("more", selfSigned(["Mail.example.com", "192.0.2.7"], 20));
  });
  afterAll(() => rm(folder, { recursive: true }));

  async function write(
    name: string,
    { cert, key }: { readonly cert: string; readonly key: string },
  ): Promise<void> {
    await writeFile(join(folder, `${name}.pem`), cert);
    await writeFile(join(folder, `${name}.key`), key);
  }
  const files = (name: string) => ({
    certificate: join(folder, `${name}.pem`),
    key: join(folder, `${name}.key`),
  });
  const read = (...more: readonly string[]): Promise<Certificates> =>
    readCertificate({ ...files("own"), "client-ca": "", more: more.map(files) });

  test("knows the names of each, in small letters where they are hosts", async () => {
    expect(await read("more")).toMatchObject({
      names: "relay.example.org, 127.0.0.1",
      hosts: ["relay.example.org"],
      others: [{ names: "Mail.example.com, 192.0.2.7", hosts: ["mail.example.com"] }],
    });
  });

  test("names the setting of a further one that is missing", async () => {
    await expect(read("more", "none")).rejects.toThrow(/none\.pem: cannot be read .*; tls\.more says where/);
  });

  test("what it read is told, with what a chain lacks, and the end of each once a day when it is near", async () => {
    const certificates = await read("more");
    const said: string[] = [];
    logTo(({ text }) => said.push(text));
    vi.useFakeTimers();
    try {
      logCertificates({ ...certificates, gap: "it lacks something" }, Date.now());
      const ends = (days: number): string =>
        `${folder}/own.pem: certificate for relay.example.org, 127.0.0.1 ends in ${days} days`;
      expect(said).toEqual([
        expect.stringMatching(/own\.pem: certificate for relay\.example\.org, 127\.0\.0\.1, valid until /),
        `${folder}/own.pem: it lacks something`,
        expect.stringMatching(/more\.pem: certificate for Mail\.example\.com, 192\.0\.2\.7, valid until /),
        ends(1),
      ]);
      said.length = 0;
      const warning = warnDaily(() => certificates, Date.now);
      vi.advanceTimersByTime(7 * 86_400_000);
      warning.stop();
      vi.advanceTimersByTime(7 * 86_400_000);
      expect(said.filter((text) => text.includes("own.pem"))).toEqual([
        ends(0),
        ...Array.from({ length: 6 }, () => expect.stringMatching(/own\.pem: .* expired on /)),
      ]);
      expect(said.filter((text) => text.includes("more.pem"))).toEqual([
        expect.stringMatching(/more\.pem: certificate for .* ends in 13 days$/),
        expect.stringMatching(/ends in 12 days$/),
      ]);
    } finally {
      vi.useRealTimers();
      logTo(() => undefined);
    }
  });
});
