/**
 * Open sessions that have carried a message and may carry another. One is used again only for the same host under the
 * same settings, and, unless the host took the last message a moment ago, RSET goes before the next one: whatever
 * happened while it waited costs a new connection and nothing else.
 */

import type { Connection } from "../../smtp/client/connection.ts";

export interface DeliverySession {
  readonly connection: Connection;
  /** When it was opened, in milliseconds since the epoch. */
  readonly opened: number;
  /** Transactions begun. */
  uses: number;
  /**
   * Whether RSET must be answered before the next one: the host did not take the last one's message (which leaves nothing to
   * reset, RFC 5321 section 4.1.1.4), or the session has waited for so long that it may be dead.
   */
  needsReset: boolean;
  /** Whether it was not opened for this message. */
  readonly reused: boolean;
  /** Whether it may be kept for another: not where TLS failed and would be tried again. */
  readonly reusable: boolean;
}

/** Where sessions wait. */
export interface SessionPool {
  /**
   * One that waits. `key` is all that decides where a connection leads and what it promises (session.ts,
   * `sessionKey`).
   */
  take(key: string): DeliverySession | undefined;
  /** Lets `session`, which is in order, wait; says goodbye instead where it has done enough. */
  keep(key: string, session: DeliverySession): void;
  /** Says goodbye to all, and keeps none any more. */
  close(): void;
}

/** Our choices. Milliseconds, but for the messages; Postfix lets a session live for 300 seconds, too. */
const longestIdle = 5_000;
const longestLife = 300_000;
const mostMessages = 100;
const mostKept = 100;
export const answerToReset = 10_000;
/** So long one is taken to be alive without a word. */
const noResetWithin = 1_000;

interface IdleSession {
  readonly key: string;
  readonly session: DeliverySession;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Lets it wait no more. */
  readonly wake: () => void;
}

/** `now` is in milliseconds since the epoch. */
export function newSessionPool(now: () => number): SessionPool {
  /** The one that has waited longest comes first. */
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
