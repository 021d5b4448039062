/**
 * What each login has sent lately and whom it knows: the numbers that the limits are about. Addresses are kept as
 * digests only. The limits themselves are quota.ts, the file that outlives a restart is usage-file.ts.
 */
import { createHmac } from "node:crypto";
import { countsOf, day, hour, type Recent, withMore } from "./sliding-window.ts";

/** Stands for an address that a login has written to: 48 bits, "base64url". */
export type Digest = string;

/** Something that counts: an accepted message, or what several of one login came to. */
export interface Note {
  readonly login: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  readonly messages: number;
  readonly recipients: number;
  /** How many of the recipients it had not written to before. */
  readonly fresh: number;
  /** To whom it wrote. */
  readonly known: readonly Digest[];
}

/** What one login has sent. */
export interface Sent {
  /** Within an hour. */
  readonly messages: Recent;
  /** Within a day. */
  readonly recipients: Recent;
  /** Within a day. */
  readonly fresh: Recent;
}

export interface Usage {
  add(note: Note): void;
  of(login: string): Sent;
  /** Stands for `address` (in any case of letters) among the recipients of `login`; among others' another one does. */
  digest(login: string, address: string): Digest;
  /** Whether `login` has written to that address before `now`, and not too long ago. */
  knows(login: string, digest: Digest, now: number): boolean;
  /** Notes that make the same usage again, what no longer counts left out. */
  notes(now: number): Iterable<Note>;
}

/** Days for which an address is known after the last message to it. Our choice: friends get mail four times a year. */
export const knownFor = 90;

/** Addresses that are known of one login at most, the longest unused go first. Our choice: a megabyte. */
export const mostKnown = 10_000;

const nothing: Sent = { messages: [], recipients: [], fresh: [] };

/** Begins with nothing. Digests are of no use without the secret `key`. */
export function newUsage(key: Uint8Array): Usage {
  const sent = new Map<string, Sent>();
  /** By login, then digest: the day of the last message, numbered since the epoch. The longest unused come first. */
  const known = new Map<string, Map<Digest, number>>();

  function meet({ login, at, known: digests }: Note): void {
    if (digests.length === 0) return;
    const friends = known.get(login) ?? new Map<Digest, number>();
    known.set(login, friends);
    for (const digest of digests) {
      friends.delete(digest);
      friends.set(digest, dayOf(at));
    }
    for (const [digest, last] of friends) {
      if (friends.size <= mostKnown && last >= dayOf(at) - knownFor) break;
      friends.delete(digest);
    }
  }

  return {
    add(note) {
      const { login, at, messages, recipients, fresh } = note;
      const before = sent.get(login) ?? nothing;
      sent.set(login, {
        messages: withMore(before.messages, hour, at, messages),
        recipients: withMore(before.recipients, day, at, recipients),
        fresh: withMore(before.fresh, day, at, fresh),
      });
      meet(note);
    },
    of: (login) => sent.get(login) ?? nothing,
    digest: (login, address) =>
      createHmac("sha256", key)
        .update(`${login}\0${address.toLowerCase()}`)
        .digest("base64url")
        .slice(0, digestLength),
    knows: (login, digest, now) => (known.get(login)?.get(digest) ?? 0) >= dayOf(now) - knownFor,
    *notes(now) {
      for (const [login, { messages, recipients, fresh }] of sent) {
        for (const { at, count } of countsOf(messages, hour, now)) yield note(login, at, { messages: count });
        for (const { at, count } of countsOf(recipients, day, now))
          yield note(login, at, { recipients: count });
        for (const { at, count } of countsOf(fresh, day, now)) yield note(login, at, { fresh: count });
      }
      for (const [login, friends] of known) {
        const since = dayOf(now) - knownFor;
        for (const [last, digests] of byDay(friends)) {
          if (last >= since) yield note(login, last * day, { known: digests });
        }
      }
    },
  };
}

/** Characters of a digest. */
export const digestLength = 8;

const dayOf = (time: number): number => Math.floor(time / day);

function note(login: string, at: number, what: Partial<Note>): Note {
  return { login, at, messages: 0, recipients: 0, fresh: 0, known: [], ...what };
}

/** Friends in their order, those of one day in one piece. */
function byDay(friends: ReadonlyMap<Digest, number>): readonly (readonly [day: number, digests: Digest[]])[] {
  const pieces: [number, Digest[]][] = [];
  for (const [digest, last] of friends) {
    const piece = pieces.at(-1);
    if (piece?.[0] === last) piece[1].push(digest);
    else pieces.push([last, [digest]]);
  }
  return pieces;
}
