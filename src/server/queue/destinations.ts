/**
 * How much may be under way to each destination. It begins small, grows while the destination answers and shrinks
 * where it does not, as Postfix's queue manager does it (SCHEDULER_README). One that cannot be reached, or sends us
 * away, pauses: no connection is tried until the pause ends, then one; each pause in a row is longer.
 */
import { isTemporary, type Reply, reply } from "../../smtp/reply.ts";
import type { RecipientOutcome } from "../delivery/message/outgoing-message.ts";
import { log } from "../log/log.ts";
import { withoutCopies } from "../spool/history.ts";
import { newHeap } from "./timer-queue.ts";

export interface Suspension {
  /** When it ends, in milliseconds of the clock that was given. */
  readonly until: number;
  /** What to say of messages that wait for that. */
  readonly reply: Reply;
}

export interface Destinations {
  /** Whether something may be done about a message for `destination`: a delivery, or to tell that it pauses. */
  open(destination: string): boolean;
  /** Takes a slot for a delivery, which {@link end} gives back; or gives the pause that stands against it. */
  begin(destination: string): Suspension | undefined;
  /** A delivery gives its slot back before its end, because another may use its connection; or takes it again. */
  yield(destination: string): void;
  unyield(destination: string): void;
  /**
   * Learns what a delivery has brought, and whether it had given its slot back. True where the destination answered, so that
   * more may go there.
   */
  end(destination: string, outcomes: readonly RecipientOutcome[], yielded?: boolean): boolean;
  /** The destinations whose pause is over, each once: one message may try it there. */
  over(): readonly string[];
  /** When the next pause ends. */
  next(): number | undefined;
  /** Ends the pause of `destination`, or all; gives those that it ended. */
  forget(destination?: string): readonly string[];
}

export interface DestinationLimits {
  /** Deliveries under way to one destination, at most. Asked each time: hosts that deliver there as well come and go. */
  readonly most: () => number;
  /** Where so many are under way to others that have not answered yet, one that has not either has one. */
  readonly unanswered: number;
  /** First pause and longest, in milliseconds. */
  readonly firstPause: number;
  readonly longestPause: number;
}

/**
 * What one of `hosts` may have under way of `most` that all of them may. Together they have no more than that, unless there are
 * more of them: each has one.
 */
export const shareOf = (most: number, hosts: number): number => Math.max(1, Math.floor(most / hosts));

/** Postfix's initial_destination_concurrency. */
const initially = 5;

/** Part of a pause by which it is longer or shorter, so that destinations do not march in step. Our choice. */
const blur = 0.2;

/** Destinations beyond which those are forgotten where nothing goes on. Our choice. */
const largest = 10_000;

const none: readonly string[] = [];

/** Known only while something is under way there, or there was trouble. */
interface DestinationState {
  readonly destination: string;
  underWay: number;
  /** Those that gave their slot back, and have not ended. */
  yielded: number;
  /** So many may be, as far as the destination goes. */
  window: number;
  /** Whether it has answered since it became known or paused. */
  answered: boolean;
  /** Deliveries in a row that did not reach it. */
  failures: number;
  /** Pauses in a row. */
  pauses: number;
  pause: Suspension | undefined;
}

/** `now` is in milliseconds of a clock that nobody sets, `random` between 0 and 1. */
export function newDestinations(
  bounds: DestinationLimits,
  now: () => number,
  random: () => number,
): Destinations {
  const states = new Map<string, DestinationState>();
  const pausing = newHeap<DestinationState>(({ pause }) => pause?.until ?? 0);
  /** Deliveries under way where nobody has answered. */
  let unanswered = 0;

  function stateOf(destination: string): DestinationState {
    const known = states.get(destination);
    if (known) return known;
    if (states.size >= largest) forgetIdle();
    const state: DestinationState = {
      destination,
      underWay: 0,
      yielded: 0,
      window: initially,
      answered: false,
      failures: 0,
      pauses: 0,
      pause: undefined,
    };
    states.set(destination, state);
    return state;
  }

  /** Those that had a pause, and whose messages have gone. */
  function forgetIdle(): void {
    for (const state of states.values()) {
      if (isIdle(state) && !state.pause) states.delete(state.destination);
    }
  }

  /** So many may be. */
  const windowOf = ({ window }: DestinationState): number => Math.min(window, bounds.most());

  const isIdle = ({ underWay, yielded }: DestinationState): boolean => underWay + yielded === 0;

  /** Counts deliveries that begin (1) and end (-1). */
  function move(state: DestinationState, by: 1 | -1): void {
    state.underWay += by;
    if (!state.answered) unanswered += by;
  }

  function turn(state: DestinationState, toAnswered: boolean): void {
    if (state.answered === toAnswered) return;
    state.answered = toAnswered;
    unanswered += toAnswered ? -state.underWay : state.underWay;
  }

  function answered(state: DestinationState): void {
    turn(state, true);
    state.failures = 0;
    state.window = Math.min(state.window + 1, bounds.most());
    state.pauses = 0;
    resume(state);
  }

  function failed(state: DestinationState, why: Reply): void {
    if (state.pause) return; // it began before the pause
    state.failures += 1;
    state.window = Math.max(1, Math.floor(windowOf(state) / 2));
    // One that has answered a moment ago may be short of slots only: a few in a row must fail.
    if (state.answered && state.failures < state.window) return;
    const plain = Math.min(bounds.firstPause * 2 ** Math.min(state.pauses, 40), bounds.longestPause);
    const length = Math.round(plain * (1 + blur * (random() - 0.5)));
    const text = `delivery temporarily suspended: ${withoutCopies(why.text)}`;
    state.pause = { until: now() + length, reply: reply(why.code, why.status, text) };
    state.pauses += 1;
    state.window = 1;
    turn(state, false);
    pausing.add(state);
    log("destination-paused", { destination: state.destination, seconds: length / 1000, reason: why.text });
  }

  function resume(state: DestinationState): void {
    pausing.remove(state);
    state.pause = undefined;
  }

  return {
    open(destination) {
      const state = states.get(destination);
      if (!state || state.pause) return true;
      // Many that hang shall not hold all slots until they are given up: then each has one, and not five.
      const others = unanswered - state.underWay;
      const crowded = !state.answered && state.underWay > 0 && others >= bounds.unanswered;
      return state.underWay < windowOf(state) && !crowded;
    },
    begin(destination) {
      const state = stateOf(destination);
      if (!state.pause) move(state, 1);
      return state.pause;
    },
    yield(destination) {
      const state = stateOf(destination);
      move(state, -1);
      state.yielded += 1;
    },
    unyield(destination) {
      const state = stateOf(destination);
      state.yielded -= 1;
      move(state, 1);
    },
    end(destination, outcomes, yielded = false) {
      const state = stateOf(destination);
      if (yielded) state.yielded -= 1;
      else move(state, -1);
      const last = outcomes.at(-1)?.reply;
      const reached = last !== undefined && !outcomes.every(isTrouble);
      if (reached) answered(state);
      else if (last) failed(state, last);
      if (isIdle(state) && state.failures === 0 && state.pauses === 0) states.delete(destination);
      return reached;
    },
    over() {
      if (pausing.first() === undefined) return none; // it is asked at each end of a delivery
      const ended: string[] = [];
      for (let state = pausing.first(); state; state = pausing.first()) {
        if ((state.pause?.until ?? 0) > now()) break;
        resume(state);
        ended.push(state.destination);
      }
      return ended;
    },
    next: () => pausing.first()?.pause?.until,
    forget(destination) {
      const ended = destination === undefined ? [...states.keys()] : [destination];
      return ended.filter((one) => {
        const state = states.get(one);
        if (!state?.pause) return false;
        resume(state);
        return true;
      });
    },
  };
}

/**
 * Nobody answered, or with 421, by which a host goes away (RFC 5321 section 3.8). A refusal by the host, and what the
 * DNS says for good, are answers; 451 4.3.0 is about a disk of ours.
 */
const isTrouble = ({ reply: said }: RecipientOutcome): boolean =>
  said.code === 421 || (said.relay === "none" && isTemporary(said) && said.status !== "4.3.0");
