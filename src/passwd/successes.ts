/**
 * Which passwords were right lately, so that the next login costs no bcrypt. Kept are keyed digests of login, password
 * and hash: of no use outside this process, and a changed hash has another one. Failures are never remembered.
 */
import { createHmac, randomBytes } from "node:crypto";

export interface Successes {
  /** The digest that stands for the three. */
  digest(login: string, password: string, hash: string): string;
  has(digest: string): boolean;
  add(digest: string): void;
}

/** As many logins as a large site has in a day; a hundred octets each. */
const most = 10_000;

/** Milliseconds after which the password is checked in full again. */
const longest = 12 * 3_600_000;

/** `now` gives milliseconds of a clock that never goes back. */
export function rememberSuccesses(now: () => number): Successes {
  const key = randomBytes(32);
  const until = new Map<string, number>(); // oldest first

  return {
    digest(login, password, hash) {
      const mac = createHmac("sha256", key);
      for (const part of [login, password, hash]) mac.update(`${Buffer.byteLength(part)}:`).update(part);
      return mac.digest("base64");
    },
    has: (digest) => (until.get(digest) ?? Number.NEGATIVE_INFINITY) > now(),
    add(digest) {
      until.delete(digest);
      until.set(digest, now() + longest);
      for (const oldest of until.keys()) {
        if (until.size <= most) break;
        until.delete(oldest);
      }
    },
  };
}
