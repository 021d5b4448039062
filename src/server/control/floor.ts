/**
 * What the desk works on: the queue of a relay that runs, where a delivery may be under way at any moment, or the spool
 * alone, while nobody else has it.
 */

import { newReporter } from "../dsn/report.ts";
import type { RecorderDependencies } from "../queue/recorder.ts";
import type { Scheduler } from "../queue/scheduler.ts";
import type { RetryPolicy } from "../queue/verdict.ts";
import { isDamaged, type Spool, type SpoolReader } from "../spool/spool.ts";
import type { Frost, FrozenLogins } from "./frozen.ts";

/** Enough to look at the queue. */
export interface View {
  /** With frost on it. */
  readonly spool: SpoolReader;
  readonly frozen: Pick<FrozenLogins, "all">;
  /** Queue IDs of the messages that an attempt is under way for. */
  readonly active: () => ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}

/** Who is at the doors, and what they have sent. */
export interface People {
  /** Ends the sessions of `login` and gives how many there were. */
  readonly endSessions: (login: string) => number;
  /** Why `login` is nobody's, or "" where it is somebody's or that is not known. */
  readonly unheardOf: (login: string) => Promise<string>;
  /** Accepted of `login`: messages within an hour, recipients within a day. */
  readonly sent: (login: string) => { readonly messages: number; readonly recipients: number };
}

/** Enough to change it. */
export interface Floor extends View {
  readonly spool: Spool;
  readonly frozen: FrozenLogins;
  readonly frost: Frost;
  readonly people: People;
  /** For what the sender is told. */
  readonly books: RecorderDependencies;
  readonly patience: RetryPolicy;
  readonly change: Scheduler["change"];
  readonly forget: Scheduler["forget"];
}

/** Whose queue it is when a relay runs. */
type Hands = Pick<Scheduler, "active" | "change" | "forget" | "wake">;

/** What a floor is laid on; `hostname` signs reports. */
export type Ground = Pick<Floor, "spool" | "frozen" | "frost" | "people" | "patience" | "now"> & {
  readonly hostname: string;
};

/** The queue in the hands of a relay; without it the spool alone, where a report waits for the next start. */
export function layFloor(
  { hostname, ...ground }: Ground,
  { active, change, forget, wake }: Hands = idle(ground.spool),
): Floor {
  const { spool, patience, now } = ground;
  const report = newReporter(spool, hostname, now);
  return { ...ground, books: { spool, report, lifetime: patience.lifetime, wake }, active, change, forget };
}

function idle(spool: Spool): Hands {
  return {
    active: () => new Set(),
    async change(id, work) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) return false;
      await work(envelope);
      return true;
    },
    forget: () => undefined,
    wake: () => undefined,
  };
}
