/** Which ciphers of TLS 1.2 and 1.3 are had with either kind of key. */
import { once } from "node:events";
import { connect } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Listener, listen } from "../../../src/server/submission/listener.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { testContext } from "./test-listener.ts";

const kinds = [
  ["ECDSA", selfSigned()],
  ["RSA", selfSigned(["localhost"], 2, "rsa")],
] as const;

describe.each(kinds)("with a key for %s", (kind, pair) => {
  let listener: Listener;
  beforeAll(async () => {
    listener = await listen("smtps", { host: "127.0.0.1", port: 0 }, pair, testContext);
  });
  afterAll(() => listener.drain(0));

  /** The cipher agreed upon, where the client knows one only. */
  async function agreed(ciphers: string, maxVersion: "TLSv1.2" | "TLSv1.3"): Promise<string> {
    const { port } = listener.address;
    const socket = connect({ port, host: "127.0.0.1", rejectUnauthorized: false, ciphers, maxVersion });
    await once(socket, "secureConnect");
    const { name } = socket.getCipher();
    socket.destroy();
    return name;
  }

  test.each(["AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"])(
    "ECDHE with %s",
    async (cipher) => {
      const name = `ECDHE-${kind}-${cipher}`;
      expect(await agreed(name, "TLSv1.2")).toBe(name);
    },
  );

  test.each(["TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"])("%s", async (name) => {
    expect(await agreed(name, "TLSv1.3")).toBe(name);
  });

  test.each([
    ["CBC", `ECDHE-${kind}-AES128-SHA256`],
    ["CBC with SHA-1", `ECDHE-${kind}-AES256-SHA`],
    ["no forward secrecy", "AES128-GCM-SHA256"],
    ["no forward secrecy, and CBC", "AES256-SHA"],
  ])("nothing with %s (RFC 9325 section 4)", async (_, name) => {
    await expect(agreed(name, "TLSv1.2")).rejects.toThrow(/handshake failure/);
  });
});
