/**
 * What goes into cookies, sealed with AES-256-GCM (NIST SP 800-38D), and the tokens of forms. Their key is in a file of its own, which is made at
 * the first start.
 */
import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hkdfSync,
  randomBytes,
  timingSafeEqual,
} from "node:crypto";
import { open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

export interface Seals {
  /** `name` is the cookie's: a value of another cookie does not open. */
  seal(name: string, value: object): string;
  /** What was sealed; undefined for what was not. */
  open(name: string, text: string): Readonly<Record<string, unknown>> | undefined;
  /** The token of the forms that belong to `anchor`, a session or a browser. */
  token(anchor: string): string;
  isToken(anchor: string, text: string): boolean;
}

const nonceOctets = 12;
const tagOctets = 16;
/** Characters. Our choice: four times what a cookie of ours has. */
const longest = 3_000;

export function newSeals(secret: Uint8Array): Seals {
  const keyFor = (use: string): Buffer =>
    Buffer.from(hkdfSync("sha256", secret, "", `tpa-submit portal: ${use}`, 32));
  const [cookieKey, tokenKey] = [keyFor("cookies"), keyFor("forms")];
  const mac = (anchor: string): Buffer => createHmac("sha256", tokenKey).update(anchor).digest();
  return {
    seal(name, value) {
      const nonce = randomBytes(nonceOctets);
      const cipher = createCipheriv("aes-256-gcm", cookieKey, nonce).setAAD(Buffer.from(name));
      const sealed = Buffer.concat([cipher.update(JSON.stringify(value)), cipher.final()]);
      return Buffer.concat([nonce, sealed, cipher.getAuthTag()]).toString("base64url");
    },
    open(name, text) {
      if (text.length > longest) return undefined;
      const octets = Buffer.from(text, "base64url");
      if (octets.length <= nonceOctets + tagOctets) return undefined;
      const nonce = octets.subarray(0, nonceOctets);
      const decipher = createDecipheriv("aes-256-gcm", cookieKey, nonce)
        .setAAD(Buffer.from(name))
        .setAuthTag(octets.subarray(-tagOctets));
      const plain = decipher.update(octets.subarray(nonceOctets, -tagOctets));
      try {
        return JSON.parse(Buffer.concat([plain, decipher.final()]).toString()) as Record<string, unknown>;
      } catch {
        return undefined; // forged, or sealed with another key
      }
    },
    token: (anchor) => mac(anchor).toString("base64url"),
    isToken(anchor, text) {
      const [expected, found] = [mac(anchor), Buffer.from(text, "base64url")];
      return found.length === expected.length && timingSafeEqual(found, expected);
    },
  };
}

const keyOctets = 32;

/** The key in `folder`; makes it where there is none. Throws a Failure where that cannot be. */
export async function openKey(folder: string): Promise<Uint8Array> {
  const path = join(folder, "key");
  try {
    return await readKey(path);
  } catch (error) {
    if (errorCode(error) !== "ENOENT") throw asFailure(path, error);
  }
  try {
    const handle = await open(path, "wx", 0o600);
    try {
      await handle.writeFile(randomBytes(keyOctets));
      await handle.sync();
    } finally {
      await handle.close();
    }
    return await readKey(path);
  } catch (error) {
    throw asFailure(path, error);
  }
}

async function readKey(path: string): Promise<Uint8Array> {
  const octets = await readFile(path);
  if (octets.length === keyOctets) return octets;
  throw new Failure(
    exitStatus.data,
    `${path}: expected ${keyOctets} octets, found ${octets.length}; remove it, and a new one is made and everybody signs in anew`,
  );
}

function asFailure(path: string, error: unknown): unknown {
  if (error instanceof Failure || errorCode(error) === "") return error;
  const status = errorCode(error) === "EACCES" ? exitStatus.noPermission : exitStatus.cannotCreate;
  return new Failure(
    status,
    `${path}: ${errorText(error)}; portal.state names a folder that the portal may write`,
    {
      cause: error,
    },
  );
}
