/** The base 64 of crypt(3): its own alphabet, the lowest six bits first. */
import { randomBytes } from "node:crypto";

export const alphabet = "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

/** The lowest `6 * characters` bits of `value`, lowest first. */
export function encode(value: number, characters: number): string {
  let text = "";
  for (let at = 0; at < characters; at += 1) text += alphabet.charAt((value >>> (6 * at)) & 63);
  return text;
}

/** A random salt of so many characters. */
export function salt(characters: number): string {
  return Array.from(randomBytes(characters), (octet) => alphabet.charAt(octet & 63)).join("");
}
