/**
 * What an operator asks of the desk and what it answers: plain values, which go through the control socket as JSON.
 * What comes in is read strictly; the desk's own answers are trusted by the command, which is of the same version.
 */
import type { Envelope } from "../spool/envelope.ts";
import { isQueueId } from "../spool/queue-id.ts";
import type { History } from "../spool/spool.ts";
import {
  type Field,
  fieldsOf,
  is,
  list,
  listOfSome,
  Mismatch,
  oneOf,
  optional,
  record,
} from "../spool/strict-json.ts";
import { type Operator, operator } from "./operator.ts";

/**
 * active: an attempt is under way. held: put aside by an operator, or its login is frozen. waiting: not tried yet.
 * deferred: tried in vain, and tried again later. damaged: cannot be read.
 */
export const statuses = ["waiting", "active", "deferred", "held", "damaged"] as const;
export type Status = (typeof statuses)[number];

/** What a message must be like; all that is given must fit. `*` in an address stands for anything. */
export interface Filter {
  readonly user?: string;
  readonly sender?: string;
  /** One of those who still wait. */
  readonly recipient?: string;
  readonly domain?: string;
  /** Milliseconds since it was accepted. */
  readonly olderThan?: number;
  /** "late": the sender has been told that it takes long. */
  readonly status?: Status | "late";
  /** Stands in the last reply about one of those who still wait; in any case of letters. */
  readonly error?: string;
}

/** What can be done to messages. */
export const acts = ["hold", "release", "retry", "bounce", "drop", "redirect"] as const;
export type Act = (typeof acts)[number];

/** Which messages there are. Of `ids` those that fit, else all that fit. */
export interface ListOrder {
  readonly word: "list";
  readonly ids?: readonly string[];
  readonly filter: Filter;
}

/** One message with its history and its header, or all of it. */
export interface ReadOrder {
  readonly word: "read";
  readonly id: string;
  readonly body: boolean;
}

export interface ActOrder {
  readonly word: "act";
  readonly act: Act;
  readonly ids: readonly string[];
  /** For hold and bounce: why; "" where nothing was said. */
  readonly reason: string;
  /** For redirect: where to, as in delivery.relay; "" takes a redirection back. */
  readonly relay: string;
  readonly by: Operator;
}

export interface FreezeOrder {
  readonly word: "freeze";
  readonly login: string;
  readonly reason: string;
  readonly by: Operator;
}

export interface ThawOrder {
  readonly word: "thaw";
  readonly login: string;
  readonly by: Operator;
}

/** Which logins are frozen. */
export interface FrozenOrder {
  readonly word: "frozen";
}

/** Which messages an attempt is under way for. */
export interface ActiveOrder {
  readonly word: "active";
}

/** What is damaged in the spool; repaired where that is wanted. */
export interface VerifyOrder {
  readonly word: "verify";
  readonly repair: boolean;
  readonly by: Operator;
}

/** What changes nothing. */
export type LookOrder = ListOrder | ReadOrder | FrozenOrder;
export type Order = LookOrder | ActiveOrder | ActOrder | FreezeOrder | ThawOrder | VerifyOrder;
type Word = Order["word"];

/** A message of the queue. */
export interface Queued {
  readonly id: string;
  readonly status: Exclude<Status, "damaged">;
  readonly envelope: Envelope;
}

export interface Unreadable {
  readonly id: string;
  readonly status: "damaged";
  readonly reason: string;
}

/** An ID that was asked for by name and is not in the queue. */
export interface Unknown {
  readonly id: string;
  readonly status: "unknown";
}

export type Listed = Queued | Unreadable | Unknown;

/** First the message, then its octets in base64, piece by piece. */
export type Piece = { readonly message: Listed; readonly history: History } | { readonly octets: string };

/**
 * done, or why not: unknown to the queue; skipped, because there is nothing to do; busy with an attempt, after which it
 * will be done; failed.
 */
export interface Done {
  readonly id: string;
  readonly outcome: "done" | "unknown" | "skipped" | "busy" | "failed";
  /** In words; "" where there is nothing to add. */
  readonly says: string;
}

/** What freezing a login came to. */
export interface Frost {
  readonly login: string;
  /** Why the relay takes it for nobody, or "" where it is a login, or that cannot be told. */
  readonly unheardOf: string;
  /** It was frozen before. */
  readonly already: boolean;
  readonly sessions: number;
  /** Messages that are held from now on, and how many of them an attempt is under way for. */
  readonly held: number;
  readonly active: number;
  /** What was accepted from it lately, and how much of that is still here. */
  readonly lastHour: Share;
  readonly lastDay: Share;
}

/** Messages of an hour, recipients of a day. */
export interface Share {
  readonly accepted: number;
  readonly here: number;
}

/** What thawing a login came to. */
export interface Melt {
  readonly login: string;
  /** False: it was not frozen. */
  readonly wasFrozen: boolean;
  readonly released: number;
  /** Held for reasons of their own. */
  readonly stillHeld: number;
}

/** A login that is frozen. */
export interface Frozen {
  readonly login: string;
  /** Since when, in milliseconds since the epoch. */
  readonly at: number;
  readonly by: string;
  readonly reason: string;
}

/** One damage. */
export interface Checked {
  /** The file, what was expected of it and what was found. */
  readonly fault: string;
  /** What a repair does about it, and whether that is anything, and whether it has been done. */
  readonly remedy: string;
  readonly repairable: boolean;
  readonly repaired: boolean;
}

export interface Answers {
  readonly list: Listed;
  readonly read: Piece;
  readonly act: Done;
  readonly freeze: Frost;
  readonly thaw: Melt;
  readonly frozen: Frozen;
  readonly active: { readonly id: string };
  readonly verify: Checked;
}

export type AnswerTo<Given extends Order> = Answers[Given["word"]];

/**
 * Does what is asked, and answers piece by piece while it does so. Throws a Failure for what the operator can mend.
 */
export type Desk = <Given extends Order>(order: Given) => AsyncIterable<AnswerTo<Given>>;

/** Where one can only look. */
export type Window = <Given extends LookOrder>(order: Given) => AsyncIterable<AnswerTo<Given>>;

const text: Field<string> = is("a text", (found) => typeof found === "string");
/** It goes into a line of the log and into a reply. */
const oneLine: Field<string> = is(
  "one line of 400 characters at most",
  (found): found is string => typeof found === "string" && /^\P{Cc}{0,400}$/u.test(found),
);
const flag: Field<boolean> = is("true or false", (found) => typeof found === "boolean");
const time: Field<number> = is(
  "milliseconds",
  (found): found is number => Number.isSafeInteger(found) && Number(found) >= 0,
);
const queueId: Field<string> = is(
  "a queue ID",
  (found): found is string => typeof found === "string" && isQueueId(found),
);

const filter = record<Filter>({
  user: optional(text),
  sender: optional(text),
  recipient: optional(text),
  domain: optional(text),
  olderThan: optional(time),
  status: optional(oneOf(...statuses, "late")),
  error: optional(text),
});

const orders: { readonly [Name in Word]: Field<Extract<Order, { word: Name }>> } = {
  list: record<ListOrder>({ word: oneOf("list"), ids: optional(list(queueId)), filter }),
  read: record<ReadOrder>({ word: oneOf("read"), id: queueId, body: flag }),
  act: record<ActOrder>({
    word: oneOf("act"),
    act: oneOf(...acts),
    ids: listOfSome(queueId),
    reason: oneLine,
    relay: oneLine,
    by: operator,
  }),
  freeze: record<FreezeOrder>({ word: oneOf("freeze"), login: oneLine, reason: oneLine, by: operator }),
  thaw: record<ThawOrder>({ word: oneOf("thaw"), login: oneLine, by: operator }),
  frozen: record<FrozenOrder>({ word: oneOf("frozen") }),
  active: record<ActiveOrder>({ word: oneOf("active") }),
  verify: record<VerifyOrder>({ word: oneOf("verify"), repair: flag, by: operator }),
};

/** The order that `json` is, or one line about what is wrong with it. */
export function parseOrder(json: string): Order | { readonly wrong: string } {
  try {
    const found: unknown = JSON.parse(json);
    const word = oneOf(...(Object.keys(orders) as Word[])).read(fieldsOf(found, "")["word"], "word");
    return orders[word].read(found, "");
  } catch (error) {
    if (error instanceof Mismatch) return { wrong: error.message };
    if (error instanceof SyntaxError) return { wrong: "expected JSON" };
    throw error;
  }
}
