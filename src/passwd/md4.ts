/** MD4 (RFC 1320), computed by hash-wasm: today's OpenSSL no longer has it. */
import type { IHasher } from "hash-wasm";

let hasher: Promise<IHasher> | undefined;

/** The digest function, which gives sixteen octets. The library is loaded when somebody needs it first. */
export async function loadMd4(): Promise<(message: Uint8Array) => Buffer> {
  hasher ??= import("hash-wasm").then(({ createMD4 }) => createMD4());
  const md4 = await hasher;
  return (message) => Buffer.from(md4.init().update(message).digest("binary"));
}
