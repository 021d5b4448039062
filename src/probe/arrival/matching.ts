/** A message that was sent, sought among the letters of a mailbox: pure. */
import { bodyOffset } from "../../smtp/header.ts";
import type { Fate } from "../result.ts";
import { changesIn } from "./changes.ts";
import { returnedIn } from "./delivery-report.ts";
import type { Letter } from "./mailbox.ts";
import { type Bound, type Mark, markOf, readMark } from "./mark.ts";
import { findingsOf, hopsOf } from "./trace.ts";

/** A message that is waited for. */
export interface Sent {
  readonly mark: Mark;
  readonly bound: Bound;
  readonly octets: Buffer;
  /** When it was looked for in vain, in milliseconds since the epoch; absent where it was not yet. */
  readonly absentAt?: number;
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

function arrived(letter: Letter, sent: Sent, now: number): Fate | undefined {
  const { mark, bound, octets, authority } = sent;
  if (readMark(markOf(letter.octets), bound)?.id !== mark.id) return undefined;
  const header = letter.octets.toString("latin1", 0, bodyOffset(letter.octets) ?? letter.octets.length);
  const after = durationUntil(letter, sent, now);
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

function returned(letter: Letter, sent: Sent, now: number): Fate | undefined {
  const report = returnedIn(letter.octets, sent.mark.id);
  if (report?.action !== "failed") return undefined; // a delay is no end
  return { kind: "returned", after: durationUntil(letter, sent, now), report };
}

/**
 * By the mailbox's clock where that is possible at all: it cannot have come before it was sent, nor after it was seen, nor
 * before it was looked for in vain. That makes up for clocks that tell seconds only, as those of IMAP do.
 */
function durationUntil({ at }: Letter, { mark, absentAt }: Sent, now: number): number {
  if (!(at >= mark.at - grain && at <= now)) return now - mark.at;
  if (at < mark.at && absentAt === undefined) return now - mark.at;
  return Math.min(Math.max(at, absentAt ?? mark.at), now) - mark.at;
}

const grain = 1000;
