/**
 * What the history keeps: the events of the log that tell what became of a message or a login, with the fields that
 * `trace`, `status` and `login` ask for. Each is a line of JSON that begins with `at` and `id`, so that a reader finds
 * them without parsing the rest. docs/privacy.md has the same table; a test compares the two.
 */
import type { EventName, FieldsOf } from "../log/events.ts";
import type { LogEntry } from "../log/log.ts";

type KeptFields = { readonly [Name in EventName]?: readonly (keyof FieldsOf<Name>)[] };

/** What is kept of each event; what has no row is not kept. Those of an acceptance become one, see {@link acceptance}. */
export const keptFields = {
  client: ["id", "door", "client", "mechanism", "login"],
  "message-id": ["id", "messageId"],
  queued: ["id", "from", "size", "recipients"],
  milter: ["id", "milter", "verdict", "reason"],
  "milter-away": ["id", "milter", "action", "reason"],
  delivery: ["id", "to", "relay", "delays", "reply", "command", "tls"],
  converted: ["id", "host"],
  expired: ["id", "from"],
  "failure-report": ["id", "report"],
  "delay-report": ["id", "report"],
  "success-report": ["id", "report"],
  "report-dropped": ["id"],
  removed: ["id"],
  held: ["id", "reason"],
  damaged: ["id", "reason"],
  "operator-act": ["id", "act", "by", "reason"],
  reject: ["id", "door", "client", "login", "stage", "reply", "from", "to"],
  "auth-accepted": ["door", "client", "mechanism", "login", "password"],
  "auth-failed": ["door", "client", "mechanism", "login", "reason"],
  "auth-in-vain": ["door", "client", "mechanism", "login", "reason"],
  "auth-braked": ["door", "client", "mechanism", "login", "until"],
  "auth-frozen": ["door", "client", "mechanism", "login"],
  "limit-reached": ["login", "limit", "until"],
  "login-frozen": ["login", "by", "reason", "sessions", "held"],
  "login-thawed": ["login", "by", "released", "stillHeld"],
  started: ["version", "hostname", "waiting"],
  stopped: ["waiting"],
} as const satisfies KeptFields;

type KeptName = keyof typeof keptFields;
/** The three that are logged of one acceptance, in this order; the last one always comes. */
type AcceptanceName = "client" | "message-id" | "queued";
type Kept<Name extends KeptName> = Pick<
  FieldsOf<Name>,
  Extract<(typeof keptFields)[Name][number], keyof FieldsOf<Name>>
>;

/** When an event happened, in milliseconds since the epoch. */
interface Moment {
  readonly at: number;
}

/** A message was taken. A report of ours has neither client nor login, and `from` is empty. */
export type AcceptedEvent = Moment & { readonly event: "accepted" } & Kept<"queued"> &
  Partial<Kept<"client"> & Kept<"message-id">>;

/** A line of the history. */
export type HistoryEvent =
  | AcceptedEvent
  | {
      readonly [Name in Exclude<KeptName, AcceptanceName>]: Moment & { readonly event: Name } & Kept<Name>;
    }[Exclude<KeptName, AcceptanceName>];

export type HistoryEventName = HistoryEvent["event"];

const isKept = (name: string): name is KeptName => Object.hasOwn(keptFields, name);
const isPart = (name: KeptName): name is AcceptanceName =>
  name === "client" || name === "message-id" || name === "queued";

/** An entry of the log, as far as the history looks at it. */
export type LoggedEvent = Pick<LogEntry, "fields"> & { readonly event: string };

/** Acceptances that may have begun and not ended, in a log where they are mixed. Our choice: far more than Postfix has. */
const mostBegun = 1_000;

/**
 * Makes events of the log's entries. What it returns gives the event of an entry that happened at `at`, or undefined where
 * there is none, or none yet: `queued` completes what `client` and `message-id` of the same message began.
 */
export function newEventComposer(): (entry: LoggedEvent, at: number) => HistoryEvent | undefined {
  const begun = new Map<unknown, LineFields>();
  return ({ event, fields }, at) => {
    if (!isKept(event)) return undefined;
    const { id } = fields;
    if (!isPart(event)) return addKept(lineOf(at, id, event), fields, event) as unknown as HistoryEvent;
    if (event !== "queued") {
      const before = begun.get(id);
      const all = addKept(before ?? {}, fields, event);
      if (before === undefined) begun.set(id, all); // behind all others: the oldest is given up first
      if (begun.size > mostBegun) begun.delete(begun.keys().next().value);
      return undefined;
    }
    const line = Object.assign(lineOf(at, id, "accepted"), begun.get(id));
    begun.delete(id);
    return addKept(line, fields, event) as unknown as HistoryEvent;
  };
}

/** The fields of a line in their order, as far as they are there. */
type LineFields = Record<string, unknown>;

const lineOf = (at: number, id: unknown, event: string): LineFields =>
  id === undefined ? { at, event } : { at, id, event };

function addKept(line: LineFields, fields: Readonly<Record<string, unknown>>, event: KeptName): LineFields {
  for (const name of keptFields[event]) {
    if (name !== "id" && fields[name] !== undefined) line[name] = fields[name];
  }
  return line;
}

/** With its line end. */
export const formatEvent = (event: HistoryEvent): string => `${JSON.stringify(event)}\n`;

/** The event in a line without its end; undefined for what a crash cut short, or what a later version wrote. */
export function parseEvent(line: string): HistoryEvent | undefined {
  try {
    const found: unknown = JSON.parse(line);
    if (typeof found !== "object" || found === null) return undefined;
    const { at, event } = found as Readonly<Record<string, unknown>>;
    if (typeof at !== "number" || typeof event !== "string") return undefined;
    return event === "accepted" || (isKept(event) && !isPart(event)) ? (found as HistoryEvent) : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const idStart = /^\{"at":\d{10,16},"id":"([^"]{1,40})"/;

/** The queue ID of a line, without parsing all of it; undefined where it is about no message. */
export const idIn = (line: string): string | undefined => idStart.exec(line)?.[1];
