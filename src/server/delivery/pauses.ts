/**
 * Destinations that could not be reached a moment ago. While one pauses, further messages for it are put off
 * without a connection: a host that is down is not knocked at for every message, and holds up nobody else.
 */
import { isTemporary, type Reply, reply } from "../../smtp/reply.ts";
import type { Outcome } from "./letter.ts";

export interface Pauses {
  /** Why not to try `destination` now; undefined where nothing speaks against it. */
  reason(destination: string): Reply | undefined;
  /** Learns from what an attempt at `destination` has brought. */
  learn(destination: string, outcomes: readonly Outcome[]): void;
  /** Ends the pause of `destination`, or all. */
  forget(destination?: string): void;
}

/** Pauses of `length` milliseconds; `now` is in milliseconds since the epoch. */
export function newPauses(length: number, now: () => number): Pauses {
  const pausing = new Map<string, { readonly until: number; readonly reply: Reply }>();

  function forgetOver(): void {
    for (const [destination, { until }] of pausing) {
      if (until > now()) return; // of equal length, so the oldest ends first
      pausing.delete(destination);
    }
  }

  return {
    reason(destination) {
      forgetOver();
      const pause = pausing.get(destination);
      if (!pause) return undefined;
      const { code, status, text } = pause.reply;
      return reply(code, status, `delivery temporarily suspended: ${text}`);
    },
    learn(destination, outcomes) {
      const last = outcomes.at(-1)?.reply;
      if (last === undefined) return;
      pausing.delete(destination);
      // RFC 3463 section 3.5: X.4 is about the network, X.7 in our own words about TLS or the login.
      const unreachable = outcomes.every(
        (outcome) =>
          outcome.reply.relay === "none" && isTemporary(outcome.reply) && /^4\.[47]\./.test(last.status),
      );
      if (unreachable) pausing.set(destination, { until: now() + length, reply: last });
    },
    forget(destination) {
      if (destination === undefined) pausing.clear();
      else pausing.delete(destination);
    },
  };
}
