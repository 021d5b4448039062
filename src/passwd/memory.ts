/**
 * Which passwords were right lately, and which were wrong, so that the next login with one costs no hash. Kept are
 * keyed digests of login, password and what is stored for the login: of no use outside this process, and a changed hash
 * has another one.
 */
import { createHmac, randomBytes } from "node:crypto";

export interface Memory {
  has(digest: string): boolean;
  add(digest: string): void;
}

/** As many logins as a large site has in a day; a hundred octets each. */
const most = 10_000;

/** Milliseconds after which the password is checked in full again. */
const longest = 12 * 3_600_000;

/** Gives the digest that stands for its parts. */
export function newDigest(): (parts: readonly string[]) => string {
  const key = randomBytes(32);
  return (parts) => {
    const mac = createHmac("sha256", key);
    for (const part of parts) mac.update(`${Buffer.byteLength(part)}:`).update(part);
    return mac.digest("base64");
  };
}

/** Holds at least half of `most` of those added last. `now` gives milliseconds of a clock that never goes back. */
export function newMemory(now: () => number): Memory {
  // Two generations: strangers fill this, and dropping the first key of a Map costs V8 more and more.
  let young = new Map<string, number>();
  let old = new Map<string, number>();

  return {
    has: (digest) => (young.get(digest) ?? old.get(digest) ?? Number.NEGATIVE_INFINITY) > now(),
    add(digest) {
      old.delete(digest);
      young.set(digest, now() + longest);
      if (young.size < most / 2) return;
      old = young;
      young = new Map();
    },
  };
}
