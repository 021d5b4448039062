/**
 * Idle sessions that have delivered a message and may deliver another. One is reused only for the same host under the
 * same settings, and RSET goes in front of its next message, unless the host accepted the last one a moment ago. If a
 * session has broken while idle, that costs a new connection and nothing else.
 */

import type { Connection } from "../../smtp/client/connection.ts";

export interface DeliverySession {
  readonly connection: Connection;
  /** When it was opened, in milliseconds since the epoch. */
  readonly opened: number;
  /** Transactions begun. */
  uses: number;
  /**
   * Whether RSET must be answered before the next message: the host did not accept the last one, which would leave nothing
   * to reset (RFC 5321 section 4.1.1.4), or the session has been idle for so long that it may have broken.
   */
  needsReset: boolean;
  /** Whether it was opened for an earlier message. */
  readonly reused: boolean;
  /** Whether it may be kept for another message: not after TLS failed, because that is to be tried again. */
  readonly reusable: boolean;
}

export interface SessionPool {
  /**
   * An idle session that has not been closed. `key` stands for everything that decides where a connection leads and how
   * it is secured (session.ts, `sessionKey`).
   */
  take(key: string): DeliverySession | undefined;
  /** Keeps `session`, which is in order, or sends QUIT if it has reached its limits. */
  keep(key: string, session: DeliverySession): void;
  /** Sends QUIT in all idle sessions, and keeps no more. */
  close(): void;
}

/** Our choices; times in milliseconds. Postfix, too, reuses a session for 300 seconds. */
const longestIdle = 5_000;
const longestLife = 300_000;
const mostMessages = 100;
const mostKept = 100;
export const answerToReset = 10_000;
/** A session that has been idle for less needs no RSET. */
const noResetWithin = 1_000;

interface IdleSession {
  readonly key: string;
  readonly session: DeliverySession;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Takes it out of the pool. */
  readonly wake: () => void;
}

/** `now` is in milliseconds since the epoch. */
export function newSessionPool(now: () => number): SessionPool {
  /** The one that has been idle longest comes first. */
  const waiting = new Set<IdleSession>();
  let closed = false;

  function leave(kept: IdleSession): void {
    kept.wake();
    kept.session.connection.quit();
  }

  function newest(key: string): IdleSession | undefined {
    let found: IdleSession | undefined;
    for (const kept of waiting) if (kept.key === key) found = kept;
    return found;
  }

  return {
    take(key) {
      for (let kept = newest(key); kept; kept = newest(key)) {
        kept.wake();
        const { session, since } = kept;
        const needsReset = session.needsReset || now() - since >= noResetWithin;
        if (session.connection.isQuiet) return { ...session, needsReset, reused: true };
        session.connection.close();
      }
      return undefined;
    },
    keep(key, session) {
      const { connection, uses, opened, reusable: lasting } = session;
      const worn = uses >= Math.min(mostMessages, connection.limits.mails) || now() - opened >= longestLife;
      if (closed || !lasting || worn || !connection.isQuiet) return connection.quit();
      const timer = setTimeout(() => leave(kept), longestIdle).unref();
      const wake = (): void => {
        waiting.delete(kept);
        clearTimeout(timer);
        connection.wake();
      };
      const kept: IdleSession = { key, session, since: now(), wake };
      waiting.add(kept);
      connection.rest(wake);
      for (const oldest of waiting) {
        if (waiting.size <= mostKept) break;
        leave(oldest);
      }
    },
    close() {
      closed = true;
      for (const kept of waiting) leave(kept);
    },
  };
}
