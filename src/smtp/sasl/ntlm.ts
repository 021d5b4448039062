/**
 * NTLM, version 1 like swaks's ([MS-NLMP]): for servers that offer nothing better. Who records an exchange can compute
 * the password in a day.
 */

import { createCipheriv } from "node:crypto";
import type { SaslCredentials, SaslMechanism } from "./mechanism.ts";

/** [MS-NLMP] section 2.2.2.5: Unicode, OEM, "send your name", NTLM, always sign. */
const flags = 0x0000a207;
const unicode = 0x00000001;

const signature = Buffer.from("NTLMSSP\0", "latin1");

/** MD4, loaded when it is first needed. It is passed in: the password schemes have it. */
export type LoadMd4 = () => Promise<(message: Buffer) => Buffer>;

export const ntlm = (loadMd4: LoadMd4): SaslMechanism => ({
  name: "NTLM",
  begin(credentials) {
    let step = 0;
    let objection: string | undefined;
    return {
      answer(challenge) {
        step += 1;
        if (step === 1) return negotiate();
        if (step > 2) return undefined;
        const octets = Buffer.from(challenge);
        if (octets.length >= 32 && octets.subarray(0, 8).equals(signature) && octets[8] === 2)
          return authenticate(octets.subarray(24, 32), octets.readUInt32LE(20), credentials, loadMd4);
        objection = "the server's challenge is none of NTLM";
        return undefined;
      },
      objection: () => objection,
    };
  },
});

/** Section 2.2.1.1, without domain and workstation. */
function negotiate(): Buffer {
  const message = Buffer.alloc(32);
  signature.copy(message);
  message.writeUInt32LE(1, 8);
  message.writeUInt32LE(flags, 12);
  return message;
}

/**
 * Section 2.2.1.3: both responses, the domain if one was given, the user, and the user once more as the workstation.
 */
async function authenticate(
  nonce: Buffer,
  offered: number,
  { user, password, extra }: SaslCredentials,
  loadMd4: LoadMd4,
): Promise<Buffer> {
  const encoding = (offered & unicode) === 0 ? "latin1" : "utf16le";
  const name = Buffer.from(user, encoding);
  const domain = Buffer.from(extra.get("realm") ?? extra.get("domain") ?? "", encoding);
  const md4 = await loadMd4();
  const payload = [
    respond(lanManagerKey(password), nonce),
    respond(md4(Buffer.from(password, "utf16le")), nonce), // section 3.3.1: NTOWFv1
    domain,
    name,
    name,
  ];
  const header = Buffer.alloc(64);
  signature.copy(header);
  header.writeUInt32LE(3, 8);
  let offset = header.length;
  for (const [index, part] of payload.entries()) {
    // Empty parts may have any offset; these are swaks's.
    const at = part.length === 0 ? 48 : offset;
    pointTo(header, 12 + 8 * index, part.length, at);
    offset += part.length;
  }
  pointTo(header, 52, 0, 48 + 2 * name.length);
  header.writeUInt32LE(offered, 60);
  return Buffer.concat([header, ...payload]);
}

/** Length, room and offset of one part of the payload. */
function pointTo(header: Buffer, at: number, length: number, offset: number): void {
  header.writeUInt16LE(length, at);
  header.writeUInt16LE(length, at + 2);
  header.writeUInt32LE(offset, at + 4);
}

/** LMOWFv1: fourteen octets of the password in capitals, used as keys to encrypt a constant. */
function lanManagerKey(password: string): Buffer {
  const capitals = Buffer.alloc(14);
  capitals.write(password.toUpperCase(), "latin1");
  const constant = Buffer.from("KGS!@#$%", "latin1");
  return Buffer.concat([des(capitals.subarray(0, 7), constant), des(capitals.subarray(7), constant)]);
}

/** DESL of section 6: the challenge, encrypted with three keys of seven octets. */
function respond(key: Buffer, nonce: Buffer): Buffer {
  const padded = Buffer.concat([key, Buffer.alloc(5)]);
  return Buffer.concat([0, 7, 14].map((at) => des(padded.subarray(at, at + 7), nonce)));
}

/** One block of DES, with the 56-bit key spread over eight octets. OpenSSL 3 has it as triple DES only. */
function des(key: Buffer, block: Buffer): Buffer {
  const bits = key.reduce((all, octet) => (all << 8n) | BigInt(octet), 0n);
  const spread = Buffer.from(
    [49n, 42n, 35n, 28n, 21n, 14n, 7n, 0n].map((shift) => Number(((bits >> shift) & 0x7fn) << 1n)),
  );
  const cipher = createCipheriv("des-ede3-ecb", Buffer.concat([spread, spread, spread]), null);
  return cipher.setAutoPadding(false).update(block);
}
