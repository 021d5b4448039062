/** The client's side of SCRAM (RFC 5802 section 3), for tests. */
import { createHash, createHmac, pbkdf2Sync } from "node:crypto";

export interface ScramClient {
  readonly digest: "sha1" | "sha256";
  /** The client's first message. */
  readonly first: string;
  /** Octets of channel binding, none without -PLUS. */
  readonly bound: Uint8Array;
  readonly password: string;
}

/** The client's last message, in answer to the server's first. */
export function clientFinal({ digest, first, bound, password }: ScramClient, server: string): string {
  const [, header = "", bare = ""] = /^([^,]*,[^,]*,)(.*)$/.exec(first) ?? [];
  const [, nonce = "", salt = "", rounds = ""] = /^r=([^,]+),s=([^,]+),i=(\d+)$/.exec(server) ?? [];
  const size = digest === "sha1" ? 20 : 32;
  const salted = pbkdf2Sync(password, Buffer.from(salt, "base64"), Number(rounds), size, digest);
  const hmac = (key: Buffer, text: string): Buffer => createHmac(digest, key).update(text).digest();
  const key = hmac(salted, "Client Key");
  const binds = Buffer.concat([Buffer.from(header), bound]).toString("base64");
  const signed = `c=${binds},r=${nonce}`;
  const signature = hmac(createHash(digest).update(key).digest(), `${bare},${server},${signed}`);
  const proof = Buffer.from(key.map((octet, at) => octet ^ (signature[at] ?? 0)));
  return `${signed},p=${proof.toString("base64")}`;
}
