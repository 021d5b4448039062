/**
 * The control protocol: the requests of operators and the answers to them, plain values that go through the control
 * socket as JSON. Requests are read strictly. The command trusts the answers: they come from the same version.
 */
import type { ProviderPause } from "../queue/provider-groups.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isQueueId } from "../spool/queue-id.ts";
import type { History } from "../spool/spool.ts";
import {
  fieldsOf,
  is,
  type JsonField,
  list,
  listOfSome,
  Mismatch,
  oneOf,
  optional,
  record,
} from "../spool/strict-json.ts";

/**
 * active: an attempt is under way. held: put aside by an operator, or its login is frozen. waiting: not tried yet.
 * deferred: tried without success, and tried again later. damaged: cannot be read.
 */
export const queueStatuses = ["waiting", "active", "deferred", "held", "damaged"] as const;
export type QueueStatus = (typeof queueStatuses)[number];

/** Which messages are meant: those that fit all that is given. `*` in an address stands for anything. */
export interface MessageFilter {
  readonly user?: string;
  readonly sender?: string;
  /** A recipient who still waits. */
  readonly recipient?: string;
  readonly domain?: string;
  /** Milliseconds since it was accepted. */
  readonly olderThan?: number;
  /** "late": the sender has been told that it takes long. */
  readonly status?: QueueStatus | "late";
  /** Part of the last reply about a recipient who still waits; upper and lower case are the same. */
  readonly error?: string;
  /** Name of the host that delivers it, where several share the queue. */
  readonly host?: string;
}

/** What operators can do to messages. */
export const actionNames = ["hold", "release", "retry", "bounce", "drop", "redirect"] as const;
export type ActionName = (typeof actionNames)[number];

/**
 * Who asks. A Unix socket does not tell Node.js who is at its other end, so the command says it of itself; only root,
 * the relay's own user and the socket's group can get as far as that.
 */
export interface Operator {
  /** Name of the user that the command runs as. */
  readonly name: string;
  readonly uid: number;
  /** Who became that user by sudo. */
  readonly sudoUser?: string;
  /** The host where the command runs, where another one carries it out. */
  readonly host?: string;
}

/** As the log and the envelope have it: `root (uid 0, sudo by user1) on mail2.example.org`. */
export function nameOperator({ name, uid, sudoUser, host }: Operator): string {
  const where = host === undefined ? "" : ` on ${host}`;
  return `${name} (uid ${uid}${sudoUser === undefined ? "" : `, sudo by ${sudoUser}`})${where}`;
}

/** Which messages there are: of `ids`, or of all, those that fit. */
export interface ListRequest {
  readonly verb: "list";
  readonly ids?: readonly string[];
  readonly filter: MessageFilter;
}

/** One message with its history and its header, or all of it. */
export interface ReadRequest {
  readonly verb: "read";
  readonly id: string;
  readonly body: boolean;
}

export interface ActionRequest {
  readonly verb: "act";
  readonly action: ActionName;
  readonly ids: readonly string[];
  /** Why; "" where no reason was given. */
  readonly reason: string;
  /** For redirect: where to, as in delivery.relay; "" takes a redirection back. */
  readonly relay: string;
  readonly by: Operator;
}

export interface FreezeRequest {
  readonly verb: "freeze";
  readonly login: string;
  readonly reason: string;
  readonly by: Operator;
}

export interface ThawRequest {
  readonly verb: "thaw";
  readonly login: string;
  readonly by: Operator;
}

/** Which logins are frozen. */
export interface FrozenLoginsRequest {
  readonly verb: "frozen";
}

/** Which hosts share the queue; none where it is in files. */
export interface HostsRequest {
  readonly verb: "hosts";
}

/** What the relay knows of a login. */
export interface LoginRequest {
  readonly verb: "login";
  readonly login: string;
  /** Its sessions are asked of all hosts that share the queue. */
  readonly everywhere?: boolean;
}

/** Wrong passwords are forgotten: of `login`, or where that is "", from the network of `address`. */
export interface UnblockRequest {
  readonly verb: "unblock";
  readonly login: string;
  readonly address: string;
  readonly by: Operator;
}

/** How the relay is. */
export interface StatusRequest {
  readonly verb: "status";
}

/** For which messages an attempt is under way. */
export interface ActiveRequest {
  readonly verb: "active";
}

/** What is damaged in the spool; with `repair` it is repaired. */
export interface VerifyRequest {
  readonly verb: "verify";
  readonly repair: boolean;
  readonly by: Operator;
}

/** begin: from now on the queue goes to `to`, and without `listening` no new mail is taken. end: nothing of it is left. */
export interface DrainRequest {
  readonly verb: "drain";
  readonly step: "begin" | "end";
  readonly to: string;
  readonly listening: boolean;
  readonly by: Operator;
}

/** With a database: what this host has goes to the others, and without `listening` no new mail is taken. */
export interface HandOverRequest {
  readonly verb: "hand-over";
  readonly listening: boolean;
  readonly by: Operator;
}

/** Those that change nothing. */
export type QueryRequest = ListRequest | ReadRequest | FrozenLoginsRequest | HostsRequest;
export type ControlRequest =
  | QueryRequest
  | ActiveRequest
  | ActionRequest
  | FreezeRequest
  | ThawRequest
  | LoginRequest
  | UnblockRequest
  | StatusRequest
  | VerifyRequest
  | DrainRequest
  | HandOverRequest;
type ControlVerb = ControlRequest["verb"];

/** A message of the queue. */
export interface QueuedMessage {
  readonly id: string;
  readonly status: Exclude<QueueStatus, "damaged">;
  readonly envelope: Envelope;
  /** Which of several hosts delivers it; null: none at the moment. Absent where there are not several. */
  readonly host?: string | null;
}

export interface DamagedMessage {
  readonly id: string;
  readonly status: "damaged";
  readonly reason: string;
  readonly host?: string | null;
}

/** An ID that was given and is not in the queue. */
export interface UnknownMessage {
  readonly id: string;
  readonly status: "unknown";
}

export type ListedMessage = QueuedMessage | DamagedMessage | UnknownMessage;

/** First the message, then its octets in base64, piece by piece. */
export type MessagePart =
  | { readonly message: ListedMessage; readonly history: History }
  | { readonly octets: string };

/**
 * done, or why not. unknown: not in the queue. skipped: there is nothing to do. busy: an attempt is under way, and the
 * action follows it. failed.
 */
export interface ActionResult {
  readonly id: string;
  readonly outcome: "done" | "unknown" | "skipped" | "busy" | "failed";
  /** For people; "" where there is nothing to add. */
  readonly says: string;
}

/** What freezing a login did. */
export interface FreezeResult {
  readonly login: string;
  /** Why the relay does not know this login, or "" where it does, or cannot tell. */
  readonly unheardOf: string;
  /** It was frozen before. */
  readonly already: boolean;
  readonly sessions: number;
  /** Messages that are held from now on, and how many of them an attempt is under way for. */
  readonly held: number;
  readonly active: number;
  /** What was accepted from it in the last hour and day, and how much of that is still here. */
  readonly lastHour: RecentMail;
  readonly lastDay: RecentMail;
  /** Hosts that did not say so: they shut the login out as soon as they hear of it. */
  readonly silent?: readonly string[];
}

/** Messages of an hour, recipients of a day. */
export interface RecentMail {
  readonly accepted: number;
  readonly here: number;
}

/** What thawing a login did. */
export interface ThawResult {
  readonly login: string;
  /** False: it was not frozen. */
  readonly wasFrozen: boolean;
  readonly released: number;
  /** Held by an operator as well. */
  readonly stillHeld: number;
}

/** A frozen login. */
export interface FrozenLogin {
  readonly login: string;
  /** Since when, in milliseconds since the epoch. */
  readonly at: number;
  readonly by: string;
  readonly reason: string;
}

/** How much of a limit a login has used; `roomAt`, in milliseconds since the epoch, where it has reached it. */
export interface LimitUse {
  readonly limit: number;
  /** "messages an hour" */
  readonly unit: string;
  readonly used: number;
  readonly roomAt?: number;
}

/** From `network`, an IPv4 address or the /64 of an IPv6 address, no password of a login is checked until then. */
export interface LoginBlock {
  readonly network: string;
  /** Milliseconds since the epoch. */
  readonly until: number;
  readonly wrong: number;
}

/** Sessions of a login on a host; null where it did not answer. */
export interface HostSessions {
  readonly host: string;
  readonly sessions: number | null;
}

/** A login, as the relay sees it. */
export interface LoginState {
  readonly login: string;
  /** Why the relay does not know this login, or "" where it does, or cannot tell. */
  readonly unheardOf: string;
  readonly frozen?: FrozenLogin;
  /** All together. */
  readonly sessions: number;
  /** On each host at work, where there are several and all were asked. */
  readonly hosts?: readonly HostSessions[];
  readonly limits: readonly LimitUse[];
  readonly blocks: readonly LoginBlock[];
}

/** How many blocks ended. */
export interface UnblockResult {
  readonly lifted: number;
}

/** One of the hosts that share the queue. Times are in milliseconds since the epoch. */
export interface QueueHost {
  readonly name: string;
  /** In which its queue IDs end. */
  readonly mark: string;
  /** When it was last heard of; null where it never was. */
  readonly seen: number | null;
  /** It has a lease on the messages that it delivers. */
  readonly live: boolean;
  readonly draining: boolean;
  /** Messages that are its own to deliver. */
  readonly waiting: number;
  /** "" where it never ran. */
  readonly version: string;
  /** It is the one that tells. */
  readonly own: boolean;
}

/** The database that hosts share, as the relay sees it. */
export interface StoreState {
  /** `spool.store` */
  readonly url: string;
  readonly there: boolean;
  /** Since when that is so. */
  readonly since: number;
  /** Why it counts as away though it answers, and what to do. */
  readonly reason?: string;
  /** Logins that are frozen on this host, and of which the others do not know yet. */
  readonly frozenHere?: readonly Pick<FrozenLogin, "login" | "at">[];
}

/** A listener, and its open connections. */
export interface ListenerState {
  readonly door: "submission" | "submissions" | "onion";
  /** `192.0.2.1:587`, or the path of a Unix socket. */
  readonly address: string;
  readonly sessions: number;
}

/** How the running relay is. Times are in milliseconds since the epoch. */
export interface RelayState {
  readonly version: string;
  readonly pid: number;
  readonly started: number;
  readonly sessions: number;
  /** Where it listens; nothing where no certificate can be used. */
  readonly listeners: readonly ListenerState[];
  /** Why a message sent now would not be taken and delivered, or "". */
  readonly trouble: string;
  /** End of the certificate in use; 0 while there is none. */
  readonly certificateUntil: number;
  /** Logins in the password file in use; 0 while none was ever good. */
  readonly logins: number;
  readonly messages: number;
  readonly held: number;
  /** When the oldest that is not held was accepted. */
  readonly oldest: number | null;
  /** What the disk has left; null where it does not say. */
  readonly free: { readonly octets: number; readonly inodes: number } | null;
  /** Of the event loop, in seconds. */
  readonly loopDelay: number;
  /** Octets of memory. */
  readonly memory: number;
  /** Logins that have used most of a limit, the one that has used the largest part first. */
  readonly nearLimits: readonly (LimitUse & { readonly login: string })[];
  /** Providers to which nothing is delivered for a while: until when, and the words that led to it. */
  readonly pauses: readonly ProviderPause[];
  /** Networks and logins from networks whose passwords are not checked at the moment. */
  readonly blocks: number;
  /** Where there is one. */
  readonly store?: StoreState;
  /** The keys that sign what leaves; a relay of the version before does not tell. */
  readonly dkim?: readonly SigningKeyState[];
}

/** A DKIM key in use. */
export interface SigningKeyState {
  readonly domain: string;
  readonly selector: string;
  readonly kind: string;
  /** When it was made, in milliseconds since the epoch. */
  readonly made: number;
}

/** One fault in the spool. */
export interface CheckedDamage {
  /** The file, what was expected of it and what was found. */
  readonly fault: string;
  /** What a repair does about it, whether it does anything, and whether it has been done. */
  readonly remedy: string;
  readonly repairable: boolean;
  readonly repaired: boolean;
}

/** The spool that takes a parcel. */
export interface HeirSpool {
  readonly spool: string;
  readonly host: string;
  /** Whether anything came under this mark before. */
  readonly known: boolean;
}

/** To a parcel: whose spool it came into, then what became of each message. */
export type ParcelAnswer =
  | { readonly heir: HeirSpool }
  | {
      /** In the spool that it comes from, and here. */
      readonly id: string;
      readonly as: string;
      /** done: promised here. already: since an earlier time. failed: not here. */
      readonly outcome: "done" | "already" | "failed";
      /** For people; "" where there is nothing to add. */
      readonly says: string;
    };

/** Takes what `parcel.ts` describes. Throws a Failure for what the operator can put right. */
export type TakeParcel = (parcel: AsyncIterable<Uint8Array>, by: Operator) => AsyncIterable<ParcelAnswer>;

/** What a drain begins with. */
export interface DrainState {
  readonly handover: string;
  /** The spool that is drained, and its host. */
  readonly spool: string;
  readonly host: string;
}

/** How far a handing over is: messages that went, and those that are still being sent here. */
export interface HandOverState {
  readonly given: number;
  readonly left: number;
}

export interface Answers {
  readonly list: ListedMessage;
  readonly read: MessagePart;
  readonly act: ActionResult;
  readonly freeze: FreezeResult;
  readonly thaw: ThawResult;
  readonly frozen: FrozenLogin;
  readonly hosts: QueueHost;
  readonly login: LoginState;
  readonly unblock: UnblockResult;
  readonly status: RelayState;
  readonly active: { readonly id: string };
  readonly verify: CheckedDamage;
  readonly drain: DrainState;
  readonly "hand-over": HandOverState;
}

export type AnswerTo<Given extends ControlRequest> = Answers[Given["verb"]];

/** Carries out a request and answers piece by piece meanwhile. Throws a Failure for what the operator can put right. */
export type ControlApi = <Given extends ControlRequest>(order: Given) => AsyncIterable<AnswerTo<Given>>;

/** The part that changes nothing. */
export type QueryApi = <Given extends QueryRequest>(order: Given) => AsyncIterable<AnswerTo<Given>>;

const text: JsonField<string> = is("a text", (found) => typeof found === "string");
/** For a line of the log and for a reply. */
const oneLine: JsonField<string> = is(
  "one line of 400 characters at most",
  (found): found is string => typeof found === "string" && /^\P{Cc}{0,400}$/u.test(found),
);
const trueOrFalse: JsonField<boolean> = is("true or false", (found) => typeof found === "boolean");
const time: JsonField<number> = is(
  "milliseconds",
  (found): found is number => Number.isSafeInteger(found) && Number(found) >= 0,
);
const queueId: JsonField<string> = is(
  "a queue ID",
  (found): found is string => typeof found === "string" && isQueueId(found),
);

const shortText: JsonField<string> = is(
  "a name of 64 characters at most",
  (found): found is string => typeof found === "string" && found.length <= 64,
);

export const operator: JsonField<Operator> = record<Operator>({
  name: shortText,
  uid: is("a number", (found): found is number => Number.isSafeInteger(found)),
  sudoUser: optional(shortText),
  host: optional(oneLine),
});

const filter = record<MessageFilter>({
  user: optional(text),
  sender: optional(text),
  recipient: optional(text),
  domain: optional(text),
  olderThan: optional(time),
  status: optional(oneOf(...queueStatuses, "late")),
  error: optional(text),
  host: optional(text),
});

const requestFields: { readonly [Name in ControlVerb]: JsonField<Extract<ControlRequest, { verb: Name }>> } =
  {
    list: record<ListRequest>({ verb: oneOf("list"), ids: optional(list(queueId)), filter }),
    read: record<ReadRequest>({ verb: oneOf("read"), id: queueId, body: trueOrFalse }),
    act: record<ActionRequest>({
      verb: oneOf("act"),
      action: oneOf(...actionNames),
      ids: listOfSome(queueId),
      reason: oneLine,
      relay: oneLine,
      by: operator,
    }),
    freeze: record<FreezeRequest>({ verb: oneOf("freeze"), login: oneLine, reason: oneLine, by: operator }),
    thaw: record<ThawRequest>({ verb: oneOf("thaw"), login: oneLine, by: operator }),
    login: record<LoginRequest>({
      verb: oneOf("login"),
      login: oneLine,
      everywhere: optional(trueOrFalse),
    }),
    unblock: record<UnblockRequest>({
      verb: oneOf("unblock"),
      login: oneLine,
      address: oneLine,
      by: operator,
    }),
    status: record<StatusRequest>({ verb: oneOf("status") }),
    frozen: record<FrozenLoginsRequest>({ verb: oneOf("frozen") }),
    hosts: record<HostsRequest>({ verb: oneOf("hosts") }),
    active: record<ActiveRequest>({ verb: oneOf("active") }),
    verify: record<VerifyRequest>({ verb: oneOf("verify"), repair: trueOrFalse, by: operator }),
    "hand-over": record<HandOverRequest>({ verb: oneOf("hand-over"), listening: trueOrFalse, by: operator }),
    drain: record<DrainRequest>({
      verb: oneOf("drain"),
      step: oneOf("begin", "end"),
      to: oneLine,
      listening: trueOrFalse,
      by: operator,
    }),
  };

/** The operator in `json`, who sends a parcel, or one line about what is wrong with it. */
export function parseOperator(json: string): Operator | { readonly wrong: string } {
  try {
    return operator.read(JSON.parse(json), "");
  } catch (error) {
    if (error instanceof Mismatch) return { wrong: error.message };
    if (error instanceof SyntaxError) return { wrong: "expected JSON" };
    throw error;
  }
}

/** The request in `json`, or one line about what is wrong with it. */
export function parseRequest(json: string): ControlRequest | { readonly wrong: string } {
  try {
    const found: unknown = JSON.parse(json);
    const verb = oneOf(...(Object.keys(requestFields) as ControlVerb[])).read(
      fieldsOf(found, "")["verb"],
      "verb",
    );
    return requestFields[verb].read(found, "");
  } catch (error) {
    if (error instanceof Mismatch) return { wrong: error.message };
    if (error instanceof SyntaxError) return { wrong: "expected JSON" };
    throw error;
  }
}
