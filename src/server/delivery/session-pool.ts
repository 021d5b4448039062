/**
 * Sessions that have delivered a message and may deliver another. One is reused only for the same host under the same
 * settings, and RSET goes in front of its next message, unless the host accepted the last one a moment ago. If a session
 * has broken while idle, that costs a new connection and nothing else.
 *
 * A session is handed on before it is idle: when the end of a message has been sent and its reply is still under way, the
 * next MAIL goes behind it (RFC 2920 section 3.1). To a host that is far, a message then costs one round trip, not two; to one
 * that is near, one write and one wait, where another message waits for nothing but this session. Whoever takes such a
 * session reads nothing before the first has read all of its replies.
 */

import type { Connection } from "../../smtp/client/connection.ts";

export interface DeliverySession {
  readonly connection: Connection;
  /** When it was opened, in milliseconds since the epoch. */
  readonly opened: number;
  /** `Verified TLSv1.3`; undefined where it is in the clear. */
  readonly tls: string | undefined;
  /** Transactions begun. */
  uses: number;
  /** And so many may be, where the host's owner is known. */
  readonly mostUses?: number | undefined;
  /**
   * Whether RSET must be answered before the next message: the host did not accept the last one, which would leave nothing
   * to reset (RFC 5321 section 4.1.1.4), or the session has been idle for so long that it may have broken.
   */
  needsReset: boolean;
  /**
   * The last message of another delivery is still without a reply: what that is, or undefined if the session goes no further.
   * Whoever sends a command takes it away.
   */
  before: Promise<LastMessage | undefined> | undefined;
  /** Whether it was opened for an earlier message. */
  readonly reused: boolean;
  /** Whether it may be kept for another message: not after TLS failed, because that is to be tried again. */
  readonly reusable: boolean;
}

type LastMessage = "accepted" | "refused";

/** A session that was handed on. */
export interface Offer {
  /**
   * Takes it back. There where the host is near: another connection would be answered as soon, so that only somebody who may
   * open none is to wait for this one.
   */
  readonly withdraw?: () => void;
}

export interface SessionPool {
  /**
   * An idle session that has not been closed, or one that was handed on. `key` stands for everything that decides where a
   * connection leads and how it is secured (session.ts, `sessionKey`).
   */
  take(key: string): DeliverySession | undefined;
  /**
   * Hands `session` on, all of whose messages have been sent, if the host has PIPELINING. Another delivery may take it then.
   * Calls `givenUp` if one did, and could not wait for the reply. Undefined where it is not handed on.
   */
  handOn(key: string, session: DeliverySession, givenUp: () => void): Offer | undefined;
  /** Whether somebody has taken it since. */
  isTaken(session: DeliverySession): boolean;
  /** Keeps `session`, which is in order, or sends QUIT if it has reached its limits. */
  keep(key: string, session: DeliverySession): void;
  /** Closes `session`, which is not in order, unless it is still another delivery's. */
  drop(session: DeliverySession): void;
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
/** A host that answers sooner is near. */
const farAway = 10;
/** How long a delivery waits for the reply to another's message. */
const patienceWithOthers = 10_000;

interface IdleSession {
  readonly key: string;
  readonly session: DeliverySession;
  /** Milliseconds since the epoch. */
  readonly since: number;
  /** Takes it out of the pool. */
  readonly wake: () => void;
}

/** A session that was handed on, and maybe taken. */
interface Handover {
  readonly key: string;
  readonly session: DeliverySession;
  isTaken: boolean;
  /** Whether whoever took it waits no longer: it may have sent DATA, so that nothing can follow. */
  isGivenUp: boolean;
  readonly givenUp: () => void;
  /** Tells whoever took it. */
  tell: (last: LastMessage | undefined) => void;
}

/** `now` is in milliseconds since the epoch. */
export function newSessionPool(now: () => number): SessionPool {
  /** The one that has been idle longest comes first. */
  const waiting = new Set<IdleSession>();
  /** By connection, those whose first delivery has not ended. */
  const handovers = new Map<Connection, Handover>();
  let closed = false;

  const isWorn = ({ connection, uses, mostUses = mostMessages, opened }: DeliverySession): boolean =>
    uses >= Math.min(mostMessages, mostUses, connection.limits.mails) || now() - opened >= longestLife;

  function takeHandedOn(key: string): DeliverySession | undefined {
    for (const handover of handovers.values()) {
      const { session, isTaken, isGivenUp } = handover;
      if (handover.key !== key || isTaken || isGivenUp || !session.connection.isQuiet) continue;
      handover.isTaken = true;
      const before = new Promise<LastMessage | undefined>((resolve) => {
        const timer = setTimeout(() => {
          resolve(undefined);
          giveUp(handover);
        }, patienceWithOthers).unref();
        handover.tell = (last) => {
          clearTimeout(timer);
          resolve(last);
        };
      });
      return { ...session, needsReset: false, reused: true, before };
    }
    return undefined;
  }

  function giveUp(handover: Handover): void {
    if (handover.isGivenUp) return;
    handover.isGivenUp = true;
    handover.tell(undefined);
    handover.givenUp();
  }

  /** Ends the first delivery's part in `connection`. */
  function settle(connection: Connection, last: LastMessage | undefined): Handover | undefined {
    const handover = handovers.get(connection);
    handovers.delete(connection);
    handover?.tell(last);
    return handover;
  }

  /** Gives up a part in a session that was handed on, before any of it was used. */
  function putBack(session: DeliverySession): boolean {
    const handover = handovers.get(session.connection);
    session.before = undefined;
    session.needsReset = true;
    if (!handover) return false;
    handover.tell(undefined);
    handover.isTaken = false;
    return true;
  }

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
      return takeHandedOn(key);
    },
    handOn(key, session, givenUp) {
      const { connection, reusable } = session;
      if (closed || !reusable || isWorn(session)) return undefined;
      if (!connection.offers("PIPELINING") || !connection.isQuiet) return undefined;
      const tell = (): void => undefined;
      handovers.set(connection, { key, session, isTaken: false, isGivenUp: false, givenUp, tell });
      return connection.roundTrip < farAway ? { withdraw: () => handovers.delete(connection) } : {};
    },
    isTaken: ({ connection }) => handovers.get(connection)?.isTaken === true,
    drop(session) {
      const { connection } = session;
      const handover = handovers.get(connection);
      if (handover === undefined || handover.session === session) {
        connection.close();
        settle(connection, undefined);
      } else {
        giveUp(handover);
      }
    },
    keep(key, session) {
      const { connection, reusable } = session;
      if (session.before && putBack(session)) return; // it is still another delivery's
      const handover = settle(connection, session.needsReset ? "refused" : "accepted");
      if (handover?.isGivenUp) return connection.close();
      if (handover?.isTaken) return;
      if (closed || !reusable || isWorn(session) || !connection.isQuiet) return connection.quit();
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
