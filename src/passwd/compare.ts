/** Comparison of secrets: how long it takes says nothing about where two values differ. */
import { hash, timingSafeEqual } from "node:crypto";

/** Whether two digests are the same. Their lengths are no secret. */
export function sameDigest(one: Uint8Array, other: Uint8Array): boolean {
  return one.length === other.length && timingSafeEqual(one, other);
}

/** Whether two texts are the same, without telling even their lengths. */
export function sameSecret(one: Uint8Array, other: Uint8Array): boolean {
  return timingSafeEqual(hash("sha256", one, "buffer"), hash("sha256", other, "buffer"));
}
