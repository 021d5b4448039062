/**
 * What each login has sent in the last hour and day, and to whom it has written: the counts behind the quota. Addresses
 * are kept only as digests. The limits are in quota.ts, the file that survives a restart in usage-file.ts.
 */
import { createHmac } from "node:crypto";
import { countsOf, day, hour } from "./sliding-window.ts";
import { type LoginUsage, noUsage, withCounted } from "./usage-limits.ts";

/** An address that a login has written to: 48 bits, "base64url". */
export type AddressDigest = string;

/** An accepted message, or several of one login together. */
export interface UsageEntry {
  readonly login: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly messages: number;
  readonly recipients: number;
  /** Recipients to whom the login had not written before. */
  readonly newRecipients: number;
  /** The addresses it wrote to. */
  readonly addresses: readonly AddressDigest[];
}

export interface Usage {
  /** `now` is the time of the entry, or later: what was added since stays. */
  add(entry: UsageEntry, now?: number): void;
  of(login: string): LoginUsage;
  /** Those that have sent anything that still counts, and some that have. */
  logins(): Iterable<string>;
  /** The digest of `address`, ignoring case. It differs from login to login. */
  digest(login: string, address: string): AddressDigest;
  /** Whether `login` has written to that address, and not too long before `now`. */
  knows(login: string, digest: AddressDigest, now: number): boolean;
  /** Entries that make up the same usage, without what no longer counts. */
  entries(now: number): Iterable<UsageEntry>;
}

/** Days for which an address is remembered after the last message to it. Our choice: people write four times a year. */
export const rememberedDays = 90;

/** Most addresses remembered for one login; the longest unused go first. Our choice: a megabyte. */
export const mostAddresses = 10_000;

/** An empty usage. Digests are useless without the secret `key`. */
export function newUsage(key: Uint8Array): Usage {
  const sent = new Map<string, LoginUsage>();
  /** By login, then digest: the day of the last message, counted from the epoch. The longest unused come first. */
  const correspondents = new Map<string, Map<AddressDigest, number>>();

  function remember({ login, at, addresses: digests }: UsageEntry): void {
    if (digests.length === 0) return;
    const addresses = correspondents.get(login) ?? new Map<AddressDigest, number>();
    correspondents.set(login, addresses);
    for (const digest of digests) {
      addresses.delete(digest);
      addresses.set(digest, dayOf(at));
    }
    for (const [digest, last] of addresses) {
      if (addresses.size <= mostAddresses && last >= dayOf(at) - rememberedDays) break;
      addresses.delete(digest);
    }
  }

  return {
    add(entry, now = entry.at) {
      const { login, at, ...counted } = entry;
      sent.set(login, withCounted(sent.get(login) ?? noUsage, at, counted, now));
      remember(entry);
    },
    of: (login) => sent.get(login) ?? noUsage,
    logins: () => sent.keys(),
    digest: (login, address) => addressDigest(key, login, address),
    knows: (login, digest, now) =>
      (correspondents.get(login)?.get(digest) ?? 0) >= dayOf(now) - rememberedDays,
    *entries(now) {
      for (const [login, { messages, recipients, newRecipients }] of sent) {
        for (const { at, count } of countsOf(messages, hour, now))
          yield entry(login, at, { messages: count });
        for (const { at, count } of countsOf(recipients, day, now))
          yield entry(login, at, { recipients: count });
        for (const { at, count } of countsOf(newRecipients, day, now))
          yield entry(login, at, { newRecipients: count });
      }
      for (const [login, addresses] of correspondents) {
        const since = dayOf(now) - rememberedDays;
        for (const [last, digests] of byDay(addresses)) {
          if (last >= since) yield entry(login, last * day, { addresses: digests });
        }
      }
    },
  };
}

/** Characters of a digest. */
export const digestLength = 8;

/** The digest of `address`, ignoring case. It differs from login to login. */
export function addressDigest(key: Uint8Array, login: string, address: string): AddressDigest {
  const mac = createHmac("sha256", key).update(`${login}\0${address.toLowerCase()}`);
  return mac.digest("base64url").slice(0, digestLength);
}

export const dayOf = (time: number): number => Math.floor(time / day);

function entry(login: string, at: number, what: Partial<UsageEntry>): UsageEntry {
  return { login, at, messages: 0, recipients: 0, newRecipients: 0, addresses: [], ...what };
}

/** Addresses in their order, those of one day together. */
function byDay(
  addresses: ReadonlyMap<AddressDigest, number>,
): readonly (readonly [day: number, digests: AddressDigest[]])[] {
  const pieces: [number, AddressDigest[]][] = [];
  for (const [digest, last] of addresses) {
    const piece = pieces.at(-1);
    if (piece?.[0] === last) piece[1].push(digest);
    else pieces.push([last, [digest]]);
  }
  return pieces;
}
