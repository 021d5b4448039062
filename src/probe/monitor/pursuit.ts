/** A message that was sent, sought among the letters of a mailbox: pure. */
import { bodyOffset } from "../../smtp/header.ts";
import { changesIn } from "../arrival/changes.ts";
import { findingsOf } from "../arrival/findings.ts";
import { hopsOf } from "../arrival/hops.ts";
import type { Letter } from "../arrival/mailbox.ts";
import { type Bound, type Mark, markOf, readMark } from "../arrival/mark.ts";
import { returnedIn } from "../arrival/returned.ts";
import type { Fate } from "../verdict.ts";

/** A message that is waited for. */
export interface Sent {
  readonly mark: Mark;
  readonly bound: Bound;
  readonly octets: Buffer;
  /** Name in the Authentication-Results that count; absent: found out. */
  readonly authority?: string;
}

/** What `letters` tell of it, found at `now` (milliseconds since the epoch); undefined where they tell nothing. */
export function fateIn(letters: readonly Letter[], sent: Sent, now: number): Fate | undefined {
  for (const letter of letters) {
    const fate = arrived(letter, sent, now) ?? returned(letter, sent, now);
    if (fate) return fate;
  }
  return undefined;
}

function arrived(letter: Letter, { mark, bound, octets, authority }: Sent, now: number): Fate | undefined {
  if (readMark(markOf(letter.octets), bound)?.id !== mark.id) return undefined;
  const header = letter.octets.toString("latin1", 0, bodyOffset(letter.octets) ?? letter.octets.length);
  const after = durationUntil(letter, mark, now);
  return {
    kind: "arrived",
    place: letter.place,
    folder: letter.folder,
    after,
    hops: hopsOf(header, mark.at, mark.at + after),
    findings: findingsOf(header, authority),
    changes: changesIn(octets, letter.octets, letter.octets.length < letter.size),
  };
}

function returned(letter: Letter, { mark }: Sent, now: number): Fate | undefined {
  const report = returnedIn(letter.octets, mark.id);
  if (report?.action !== "failed") return undefined; // a delay is no end
  return { kind: "returned", after: durationUntil(letter, mark, now), report };
}

/** By the mailbox's clock where that is possible at all: it cannot have come before it was sent, nor after it was seen. */
function durationUntil({ at }: Letter, { at: begun }: Mark, now: number): number {
  return at >= begun && at <= now ? at - begun : now - begun;
}
