/** Finds a message that was sent, or a report about it, among the messages of a mailbox: pure. */
import { bodyOffset } from "../../smtp/header.ts";
import type { Fate } from "../result.ts";
import { changesIn } from "./changes.ts";
import { deliveryReportIn } from "./delivery-report.ts";
import type { FoundMessage } from "./mailbox.ts";
import { type MarkBinding, markOf, type ProbeMark, readMark } from "./mark.ts";
import { findingsOf, hopsOf } from "./trace.ts";

/** A message that is waited for. */
export interface SentProbe {
  readonly mark: ProbeMark;
  readonly bound: MarkBinding;
  readonly octets: Buffer;
  /**
   * The last time that it was looked for and not there, in milliseconds since the epoch; absent before the first look.
   */
  readonly absentAt?: number;
  /** The authserv-id of the Authentication-Results that count; absent: taken from the Received fields. */
  readonly authority?: string;
}

/**
 * What became of it by these `messages`, read at `now` (milliseconds since the epoch); undefined where they do not
 * tell.
 */
export function fateIn(messages: readonly FoundMessage[], sent: SentProbe, now: number): Fate | undefined {
  for (const message of messages) {
    const fate = arrived(message, sent, now) ?? returned(message, sent, now);
    if (fate) return fate;
  }
  return undefined;
}

function arrived(message: FoundMessage, sent: SentProbe, now: number): Fate | undefined {
  const { mark, bound, octets, authority } = sent;
  if (readMark(markOf(message.octets), bound)?.id !== mark.id) return undefined;
  const header = message.octets.toString("latin1", 0, bodyOffset(message.octets) ?? message.octets.length);
  const after = durationUntil(message, sent, now);
  return {
    kind: "arrived",
    place: message.place,
    folder: message.folder,
    after,
    hops: hopsOf(header, mark.at, mark.at + after),
    findings: findingsOf(header, authority),
    changes: changesIn(octets, message.octets, message.octets.length < message.size),
  };
}

function returned(message: FoundMessage, sent: SentProbe, now: number): Fate | undefined {
  const report = deliveryReportIn(message.octets, sent.mark.id);
  if (report?.action !== "failed") return undefined; // a delay is not final
  return { kind: "returned", after: durationUntil(message, sent, now), report };
}

/**
 * By the mailbox's clock where that can be right: the message cannot have come before it was sent, after it was seen,
 * or before a look that did not find it. That corrects clocks with seconds only, such as IMAP's.
 */
function durationUntil({ at }: FoundMessage, { mark, absentAt }: SentProbe, now: number): number {
  if (!(at >= mark.at - grain && at <= now)) return now - mark.at;
  if (at < mark.at && absentAt === undefined) return now - mark.at;
  return Math.min(Math.max(at, absentAt ?? mark.at), now) - mark.at;
}

const grain = 1000;
