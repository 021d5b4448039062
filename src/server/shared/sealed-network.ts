/**
 * The network of a wrong password as the database has it: sealed, so that a copy of the table tells nobody who tried what from
 * where, and the same for the same network. Hosts open it: `login show` names the networks that are blocked.
 */
import { createCipheriv, createDecipheriv, createHmac, hkdfSync } from "node:crypto";

export interface NetworkSeal {
  seal(network: string): string;
  /** Undefined where it was sealed with another key. */
  open(sealed: string): string | undefined;
}

const cipher = "aes-256-gcm";
const ivLength = 12;
const tagLength = 16;

export function newNetworkSeal(secret: Uint8Array): NetworkSeal {
  const keyFor = (use: string): Buffer =>
    Buffer.from(hkdfSync("sha256", secret, "", `tpa-submit: networks, ${use}`, 32));
  const [key, ivKey] = [keyFor("seal"), keyFor("iv")];
  return {
    seal(network) {
      // Made of the text itself: never the same for two texts, which GCM demands.
      const iv = createHmac("sha256", ivKey).update(network).digest().subarray(0, ivLength);
      const sealing = createCipheriv(cipher, key, iv);
      const text = Buffer.concat([sealing.update(network, "utf8"), sealing.final()]);
      return Buffer.concat([iv, sealing.getAuthTag(), text]).toString("base64url");
    },
    open(sealed) {
      const octets = Buffer.from(sealed, "base64url");
      if (octets.length < ivLength + tagLength) return undefined;
      const opening = createDecipheriv(cipher, key, octets.subarray(0, ivLength), {
        authTagLength: tagLength,
      });
      opening.setAuthTag(octets.subarray(ivLength, ivLength + tagLength));
      try {
        const text = opening.update(octets.subarray(ivLength + tagLength));
        return Buffer.concat([text, opening.final()]).toString("utf8");
      } catch {
        return undefined; // its tag is wrong
      }
    },
  };
}
