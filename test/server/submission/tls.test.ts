/** TLS on both listeners: what is refused, what is dropped, how a certificate is replaced. */
import { once } from "node:events";
import { connect as connectTls } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import { selfSigned } from "../../tools/certificate.ts";
import { ask, connected, greeted, noBug, opened, texts } from "./test-clients.ts";
import { pair } from "./test-listener.ts";

describe("TLS", () => {
  test("older than 1.2 is refused on both listeners", async () => {
    const server = await opened("smtps");
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    const socket = connectTls({ port: server.port, host: "127.0.0.1", rejectUnauthorized: false, ...old });
    await expect(once(socket, "secureConnect")).rejects.toThrow();
    await vi.waitFor(
      () => expect(texts(server).join("\n")).toContain("SSL_accept error from unknown[127.0.0.1]"),
      60_000,
    );
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);

    const other = await opened("submission");
    const client = await greeted(other, false);
    expect(await ask(client, "STARTTLS")).toMatch(/^220 /);
    await expect(client.startTls(old)).rejects.toThrow();
    await vi.waitFor(
      () => expect(texts(other).join("\n")).toContain("SSL_accept error from unknown[127.0.0.1]"),
      60_000,
    );
    await vi.waitFor(() => expect(other.listener.sessions()).toBe(0), 60_000);
    noBug(other);
  });

  test("is not negotiated twice in a session", async () => {
    const server = await opened("smtps");
    const options = { maxVersion: "TLSv1.2", rejectUnauthorized: false } as const;
    const socket = connectTls({ port: server.port, host: "127.0.0.1", ...options });
    await once(socket, "data"); // the greeting
    const renegotiated = new Promise<Error | null>((resolve) => {
      socket.on("error", resolve);
      socket.renegotiate({}, resolve);
    });
    expect(String(await renegotiated)).toMatch(/no renegotiation/i);
    socket.destroy();
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    noBug(server);
  });

  test("what a client sends behind STARTTLS in the clear is dropped (RFC 3207 section 6)", async () => {
    const server = await opened("submission");
    const client = await greeted(server, false);
    expect(await ask(client, `STARTTLS\r\n${"NOOP\r\n".repeat(300)}EHLO injected.example`)).toMatch(/^220 /);
    await client.startTls();
    expect(await ask(client, "AUTH PLAIN AHVzZXIxAHNlY3JldA==")).toBe("503 5.5.1 Send EHLO first");
    noBug(server);
  });

  test("garbage in place of a handshake ends that connection and no other", async () => {
    const server = await opened("smtps");
    const client = await connected(server);
    const plain = await connected(server, false);
    await plain.send("EHLO in.the.clear\r\n");
    expect(await plain.line()).toBeUndefined();
    expect(await client.line()).toMatch(/^220 /);
    const half = await opened("submission");
    const starting = await greeted(half, false);
    await ask(starting, "STARTTLS");
    await starting.send("this is no handshake\r\n");
    while ((await starting.line()) !== undefined);
    await vi.waitFor(() => expect(half.listener.sessions()).toBe(0), 60_000);
    noBug(half);
  });

  test("a new certificate serves those who come later, a bad one changes nothing", async () => {
    const server = await opened("smtps");
    const next = selfSigned(["new.example.org"]);
    const peerOf = async (): Promise<string | undefined> => {
      const socket = (await connected(server)).socket();
      return "getPeerCertificate" in socket ? socket.getPeerCertificate().subjectaltname : undefined;
    };
    expect(await peerOf()).toContain("relay.example.org");
    expect(() => server.listener.replaceCertificate({ key: "no key", cert: "no certificate" })).toThrow();
    expect(() => server.listener.replaceCertificate({ key: pair.key, cert: next.cert })).toThrow();
    expect(await peerOf()).toContain("relay.example.org");
    server.listener.replaceCertificate(next);
    expect(await peerOf()).toContain("new.example.org");
  });

  test("a new certificate serves STARTTLS as well", async () => {
    const server = await opened("submission");
    const client = await greeted(server, false);
    server.listener.replaceCertificate(selfSigned(["new.example.org"]));
    await ask(client, "STARTTLS");
    await client.startTls();
    const socket = client.socket();
    expect("getPeerCertificate" in socket && socket.getPeerCertificate().subjectaltname).toContain(
      "new.example.org",
    );
  });
});
