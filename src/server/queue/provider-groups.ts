/**
 * How much may be under way to each provider: all destinations together whose hosts are its own. Which those are is known
 * once the MX records of a destination have been looked up, so a delivery asks again then; from there on the scheduler asks
 * before it begins. At the first word of a provider that we are too fast, or not welcome, all of its destinations pause.
 */
import { replyClassOf } from "../../smtp/known-replies/explain.ts";
import { formatReply, isTemporary, reply } from "../../smtp/reply.ts";
import type { RecipientOutcome } from "../delivery/message/outgoing-message.ts";
import type { ProviderTerms } from "../delivery/provider-terms.ts";
import { log } from "../log/log.ts";
import { withoutCopies } from "../spool/history.ts";
import { type Suspension, shareOf } from "./destinations.ts";

export interface ProviderGroups {
  /** Whether something may be done about a message for `destination`: a delivery, or to tell that its provider pauses. */
  open(destination: string): boolean;
  /** The pause that stands against a delivery. */
  pauseOf(destination: string): Suspension | undefined;
  /** A delivery begins. */
  begin(destination: string): ProviderVisit;
  /** The destinations of providers whose pause is over: one message may try it at each, as far as there is room. */
  over(): readonly string[];
  /** When the next pause ends. */
  next(): number | undefined;
  /** Ends the pause of the provider of `destination`, or all; gives the destinations that wait for it. */
  forget(destination?: string): readonly string[];
  /** The providers that pause. */
  pauses(): readonly ProviderPause[];
}

export interface ProviderPause {
  readonly provider: string;
  /** In milliseconds of the clock that was given. */
  readonly until: number;
  /** What it said, in one line with its codes, and what that means. */
  readonly reason: string;
  readonly class: ReturnType<typeof replyClassOf>;
}

/** The part of one delivery. */
export interface ProviderVisit {
  /** The hosts of the destination are known, and whose they are. False where the delivery must wait. */
  admit(provider: ProviderTerms | undefined): boolean;
  /** Its connection serves another delivery meanwhile, or is its own again. */
  yield(): void;
  unyield(): void;
  /** It has ended. */
  end(outcomes: readonly RecipientOutcome[]): VisitResult;
}

interface VisitResult {
  /** Whether the provider pauses for what was said, which is then nothing about the destination. */
  readonly slowsDown: boolean;
  /** Destinations that waited for this provider to answer. */
  readonly resumed: readonly string[];
}

/** As with destinations (Postfix's initial_destination_concurrency). */
const initially = 5;

/** Milliseconds; our choice: a provider that says no for an hour is asked once an hour. */
const longestPause = 3_600_000;

/** Part of a pause by which it is longer or shorter. */
const blur = 0.2;

/** Destinations of which we remember whose they are. Our choice: a MiB or two. */
const mostKnown = 10_000;

interface Group {
  terms: ProviderTerms;
  underWay: number;
  /** So many may be, as far as the provider goes. */
  window: number;
  /** In a row. */
  pauses: number;
  pause: (Suspension & Pick<ProviderPause, "reason" | "class">) | undefined;
  /** Destinations that were told of a pause, and have not been resumed as a whole. */
  readonly waiting: Set<string>;
}

/**
 * `now` is in milliseconds of a clock that nobody sets, `random` between 0 and 1. So many `hosts` deliver at the moment, this one
 * included: a provider counts all of them together.
 */
export function newProviderGroups(
  now: () => number,
  random: () => number,
  hosts: () => number = () => 1,
): ProviderGroups {
  const groups = new Map<string, Group>();
  const known = new Map<string, Group>();

  const mostOf = ({ terms }: Group): number => shareOf(terms.concurrency, hosts());
  /** So many may be. */
  const windowOf = (group: Group): number => Math.min(group.window, mostOf(group));

  function remember(destination: string, group: Group | undefined): void {
    known.delete(destination);
    if (group === undefined) return;
    known.set(destination, group);
    if (known.size > mostKnown) known.delete(known.keys().next().value ?? "");
  }

  function groupFor(terms: ProviderTerms): Group {
    const group = groups.get(terms.name) ?? {
      terms,
      underWay: 0,
      window: initially,
      pauses: 0,
      pause: undefined,
      waiting: new Set(),
    };
    group.terms = terms; // a reload may have changed them
    groups.set(terms.name, group);
    return group;
  }

  function slowDown(group: Group, why: RecipientOutcome["reply"]): void {
    if (group.pause) return; // it began before the pause
    const { name, pause } = group.terms;
    const plain = Math.max(pause, Math.min(pause * 2 ** Math.min(group.pauses, 20), longestPause));
    const length = Math.round(plain * (1 + blur * (random() - 0.5)));
    const text = `delivery temporarily suspended: ${withoutCopies(why.text)}`;
    group.pause = {
      until: now() + length,
      reply: reply(why.code, why.status, text),
      reason: why.relay === "none" ? why.text : formatReply(why),
      class: replyClassOf(why, why.relay),
    };
    group.pauses += 1;
    group.window = 1;
    log("provider-paused", { provider: name, seconds: length / 1000, reason: why.text });
  }

  function answered(group: Group): readonly string[] {
    group.window = Math.min(group.window + 1, mostOf(group));
    group.pauses = 0;
    group.pause = undefined;
    const resumed = [...group.waiting];
    group.waiting.clear();
    return resumed;
  }

  return {
    open(destination) {
      const group = known.get(destination);
      return group === undefined || group.pause !== undefined || group.underWay < windowOf(group);
    },
    pauseOf(destination) {
      const group = known.get(destination);
      if (group?.pause) group.waiting.add(destination);
      return group?.pause;
    },
    begin(destination) {
      let group = known.get(destination);
      let yielded = false;
      const move = (by: 1 | -1): void => {
        if (group) group.underWay += by;
      };
      move(1);
      return {
        admit(provider) {
          const found = provider && groupFor(provider);
          remember(destination, found);
          const isCounted = found === group;
          if (found?.pause || (found && !isCounted && found.underWay >= windowOf(found))) return false;
          if (isCounted) return true;
          move(-1);
          group = found;
          move(1);
          return true;
        },
        yield() {
          yielded = true;
          move(-1);
        },
        unyield() {
          yielded = false;
          move(1);
        },
        end(outcomes) {
          if (!yielded) move(-1);
          if (!group || outcomes.length === 0) return { slowsDown: false, resumed: [] };
          const complaint = outcomes.find(isComplaint);
          if (complaint) {
            slowDown(group, complaint.reply);
            return { slowsDown: true, resumed: [] };
          }
          const isReached = outcomes.some((outcome) => outcome.reply.relay !== "none");
          return { slowsDown: false, resumed: isReached && !group.pause ? answered(group) : [] };
        },
      };
    },
    over() {
      const ended = [...groups.values()].filter(({ pause }) => pause && pause.until <= now());
      for (const group of ended) group.pause = undefined;
      return ended.flatMap(({ waiting }) => [...waiting]);
    },
    next() {
      const ends = [...groups.values()].flatMap(({ pause }) => (pause ? [pause.until] : []));
      return ends.length === 0 ? undefined : Math.min(...ends);
    },
    forget(destination) {
      const one = destination === undefined ? undefined : known.get(destination);
      const those = destination === undefined ? [...groups.values()] : one ? [one] : [];
      return those.filter(({ pause }) => pause !== undefined).flatMap(answered);
    },
    pauses: () =>
      [...groups.values()].flatMap(({ terms: { name }, pause }) =>
        pause ? [{ provider: name, until: pause.until, reason: pause.reason, class: pause.class }] : [],
      ),
  };
}

/**
 * What large receivers say to a sender that they take for too fast or for unwelcome: 421, or 4.7.x. To go on as before makes
 * it a 5xx with some of them. Greylisting is no complaint, and comes with the same numbers.
 */
function isComplaint({ reply: said }: RecipientOutcome): boolean {
  if (!isTemporary(said)) return false;
  const meaning = replyClassOf(said, said.relay);
  const isSlowDown = said.code === 421 || said421.test(said.text);
  return (
    meaning !== "greylisting" && (isSlowDown || (said.status.startsWith("4.7.") && meaning !== "no-answer"))
  );
}

/** In words of ours about a host that ended the session. */
const said421 = /(?:refused to talk to me|said): 421[ -]/;
