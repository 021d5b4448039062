/**
 * What the desk works on: the queue of a relay that runs, where a delivery may be under way at any moment, or the spool
 * alone, while nobody else has it.
 */
import { log } from "../observe/log.ts";
import type { Books } from "../delivery/ledger.ts";
import { newReporter } from "../delivery/reporter.ts";
import type { Patience } from "../delivery/verdict.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isDamaged } from "../spool/spool.ts";
import type { FrostedSpool, FrozenLogins } from "./frozen.ts";

/** Changes a message: what it stands as afterwards, or undefined when it is done with. It records that itself. */
export type Work = (envelope: Envelope) => Promise<Envelope | undefined>;

/** Who is at the doors, and what they have sent. */
export interface People {
  /** Ends the sessions of `login` and gives how many there were. */
  endSessions(login: string): number;
  /** Why `login` is nobody's, or "" where it is somebody's or that is not known. */
  unheardOf(login: string): Promise<string>;
  /** Accepted of `login`: messages within an hour, recipients within a day. */
  sent(login: string): { readonly messages: number; readonly recipients: number };
}

export interface Floor {
  readonly spool: FrostedSpool;
  readonly frozen: FrozenLogins;
  readonly people: People;
  /** For what the sender is told. */
  readonly books: Books;
  readonly patience: Patience;
  /** Queue IDs of the messages that an attempt is under way for. */
  active(): ReadonlySet<string>;
  /**
   * Waits until no attempt is under way, then does `work` and goes on by what that gives. False where the message is
   * not there any more, or cannot be read.
   */
  change(id: string, work: Work): Promise<boolean>;
  /** Forgets which destinations could not be reached: they are tried at once. */
  forget(): void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** What stays the same whether a relay runs or not. */
export type Ground = Pick<Floor, "spool" | "frozen" | "people" | "patience" | "now"> & {
  /** Signs reports. */
  readonly hostname: string;
};

/** The spool alone: nothing is under way, and a report waits for the next start like any other message. */
export function quietFloor({ hostname, ...ground }: Ground): Floor {
  const { spool, patience, now } = ground;
  return {
    ...ground,
    books: {
      spool,
      report: newReporter(spool, hostname, now),
      lifetime: patience.lifetime,
      wake: () => undefined,
    },
    active: () => new Set(),
    async change(id, work) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) {
        log("damaged", { id, reason: envelope.damaged });
        return false;
      }
      await work(envelope);
      return true;
    },
    forget: () => undefined,
  };
}
