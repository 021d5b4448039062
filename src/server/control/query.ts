/** What operators can ask without changing anything: which messages there are, and one of them whole. */

import { errorCode, errorText, exitStatus, Failure, nearest } from "../../failure.ts";
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import { bodyOffset } from "../../smtp/header.ts";
import { formatReply } from "../../smtp/reply.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import { isDamaged } from "../spool/envelope-file.ts";
import type { Damaged, History, SpoolReader, StoredMessage } from "../spool/spool.ts";
import type { FrozenLogins } from "./frozen-logins.ts";
import type {
  DamagedMessage,
  ListedMessage,
  ListRequest,
  MessageFilter,
  MessagePart,
  QueuedMessage,
  QueueHost,
  QueueStatus,
  ReadRequest,
  UnknownMessage,
} from "./protocol.ts";

/** The queue, to be read only. */
export interface ReadView {
  /** With the messages of frozen logins held. */
  readonly spool: SpoolReader;
  readonly frozen: Pick<FrozenLogins, "all">;
  /** Queue IDs of the messages for which an attempt is under way. */
  readonly active: () => ReadonlySet<string>;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Where several hosts may share the queue. */
  readonly shared?: SharedQueue;
}

/** Whose the messages of a shared queue are. */
export interface SharedQueue {
  readonly hosts: () => Promise<readonly QueueHost[]>;
  /** Who delivers each of `ids`; those that nobody delivers at the moment are left out. */
  readonly hostsOf: (ids: readonly string[]) => Promise<ReadonlyMap<string, string>>;
}

/** Octets of a header that are shown, as the reports have it. */
const longestHeader = 100_000;

/** The messages that the request means, oldest first. Throws a Failure where it names a host that there is not. */
export async function* list(
  { ids, filter: { host, ...filter } }: ListRequest,
  view: ReadView,
): AsyncGenerator<ListedMessage> {
  const { spool } = view;
  const known = { now: view.now(), active: view.active(), has: (id: string) => spool.has(id) };
  const wanted = host === undefined ? undefined : await knownHost(host, view);
  const several = await ifSeveral(view);
  const shared = wanted === undefined ? several : view.shared;
  for await (const batch of spool.readMany(ids ?? (await spool.ids()))) {
    const hosts = await shared?.hostsOf(batch.map(({ id }) => id));
    for (const found of await listed(batch, filter, known)) {
      if (found.status === "unknown") {
        if (ids !== undefined) yield found; // otherwise it has just left
      } else if (wanted === undefined || hosts?.get(found.id) === wanted)
        yield withHost(found, several && hosts);
    }
  }
}

/** The name of `host` as the others know it. */
async function knownHost(host: string, { shared }: ReadView): Promise<string> {
  const names = ((await shared?.hosts()) ?? []).map(({ name }) => name);
  const found = names.find((name) => equalsIgnoringCase(name, host));
  if (found !== undefined) return found;
  const meant = nearest(host.toLowerCase(), names);
  const advice =
    meant === undefined ? `those that share it are ${names.join(", ")}` : `did you mean ${meant}?`;
  throw new Failure(exitStatus.usage, `no host of this queue is called ${JSON.stringify(host)}; ${advice}`);
}

/** What is known of the queue when it is listed. */
export interface ListingMoment {
  /** Milliseconds since the epoch. */
  readonly now: number;
  /** Queue IDs of the messages for which an attempt is under way. */
  readonly active: ReadonlySet<string>;
  /** Whether a message that cannot be read is in the queue still. */
  readonly has: (id: string) => Promise<boolean>;
}

/** Those of `batch` that `filter` means, and those that are not in the queue any more. */
export async function listed(
  batch: readonly StoredMessage[],
  filter: MessageFilter,
  { now, active, has }: ListingMoment,
): Promise<readonly ListedMessage[]> {
  const found: ListedMessage[] = [];
  const isAnyMeant = Object.keys(filter).length === 0;
  for (const { id, envelope } of batch) {
    if (isDamaged(envelope)) {
      const state = await damagedState(id, envelope, has);
      if (state.status === "unknown" || meansDamaged(filter)) found.push(state);
    } else {
      const state = queuedState(envelope, active);
      if (isAnyMeant || matches(filter, state, now)) found.push(state);
    }
  }
  return found;
}

/** Undefined where all messages are one host's. */
async function ifSeveral({ shared }: ReadView): Promise<SharedQueue | undefined> {
  return shared !== undefined && (await shared.hosts()).length > 1 ? shared : undefined;
}

const withHost = (message: ListedMessage, hosts: ReadonlyMap<string, string> | undefined): ListedMessage =>
  hosts === undefined || message.status === "unknown"
    ? message
    : { ...message, host: hosts.get(message.id) ?? null };

/** How one message stands now. */
export async function messageState(id: string, view: ReadView): Promise<ListedMessage> {
  const envelope = await view.spool.read(id);
  return isDamaged(envelope)
    ? damagedState(id, envelope, (one) => view.spool.has(one))
    : queuedState(envelope, view.active());
}

const queuedState = (envelope: Envelope, active: ReadonlySet<string>): QueuedMessage => ({
  id: envelope.id,
  status: statusOf(envelope, active.has(envelope.id)),
  envelope,
});

async function damagedState(
  id: string,
  { damaged: reason }: Damaged,
  has: ListingMoment["has"],
): Promise<DamagedMessage | UnknownMessage> {
  return (await has(id)) ? { id, status: "damaged", reason } : { id, status: "unknown" };
}

/** One message; then its header, or all of it. Throws a Failure where it goes away meanwhile. */
export async function* read({ id, body }: ReadRequest, view: ReadView): AsyncGenerator<MessagePart> {
  const { spool } = view;
  const state = await messageState(id, view);
  const hosts = state.status === "unknown" ? undefined : await (await ifSeveral(view))?.hostsOf([id]);
  const message = withHost(state, hosts);
  const history: History = message.status === "unknown" ? [] : await spool.history(id);
  yield { message, history };
  if (message.status === "unknown" || message.status === "damaged") return;
  try {
    if (!body) yield messagePart(headerOf(await spool.bodyStart(id, longestHeader)));
    else for await (const octets of spool.body(id)) yield messagePart(octets as Buffer);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(
      exitStatus.temporary,
      `${id}: left the queue meanwhile, or cannot be read: ${errorText(error)}`,
    );
  }
}

const messagePart = (octets: Buffer): MessagePart => ({ octets: octets.toString("base64") });

/** With the empty line that ends it. */
const headerOf = (start: Buffer): Buffer => start.subarray(0, bodyOffset(start) ?? start.length);

/** Does `work` for each of `items`, `atATime` at once, and gives the results in the order of the items. */
export async function* inOrder<Item, Result>(
  items: Iterable<Item> | AsyncIterable<Item>,
  atATime: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  for await (const item of items) {
    const result = work(item);
    result.catch(() => undefined); // thrown below, in order
    running.push(result);
    const first = running.length >= atATime ? running.shift() : undefined;
    if (first) yield await first;
  }
  for (const result of running) yield await result;
}

/** All messages of `login`. */
export async function* sentBy(login: string, view: ReadView): AsyncGenerator<QueuedMessage> {
  for await (const found of list({ verb: "list", filter: { user: login } }, view)) {
    if ("envelope" in found) yield found;
  }
}

/** The status of the message of `envelope`. */
export function statusOf(
  { held, attempts, recipients }: Envelope,
  isActive: boolean,
): QueuedMessage["status"] {
  if (isActive) return "active";
  if (held !== undefined) return "held";
  // No attempt is counted where the destination could not be reached a moment ago, but there is a reply.
  return attempts === 0 && recipients.every(({ reply }) => reply === undefined) ? "waiting" : "deferred";
}

/** Whether `filter` means the message; `now` is in milliseconds since the epoch. */
export function matches(filter: MessageFilter, { status, envelope }: QueuedMessage, now: number): boolean {
  const { login, sender, accepted, recipients } = envelope;
  const waiting = recipients.filter(({ state }) => state === "waiting");
  return (
    fits(filter.user, (user) => login !== null && equalsIgnoringCase(user, login)) &&
    fits(filter.sender, (wanted) => matchesPattern(wanted.replace(/^<(.*)>$/, "$1"), sender)) &&
    fits(filter.recipient, (wanted) => waiting.some(({ address }) => matchesPattern(wanted, address))) &&
    fits(filter.domain, (wanted) =>
      waiting.some(({ address }) => normalDomain(domainOf(address)) === normalDomain(wanted)),
    ) &&
    fits(filter.olderThan, (age) => now - accepted > age) &&
    fits(filter.status, (wanted) => (wanted === "late" ? envelope.warned : wanted === status)) &&
    fits(filter.error, (part) =>
      waiting.some((recipient) => lastReplyText(recipient).includes(part.toLowerCase())),
    )
  );
}

/** Whether a filter means damaged messages: only where it asks for nothing else. */
export const meansDamaged = ({ status, ...others }: MessageFilter): boolean =>
  (status === undefined || status === ("damaged" satisfies QueueStatus)) &&
  Object.values(others).every((value) => value === undefined);

function fits<Value>(wanted: Value | undefined, test: (wanted: Value) => boolean): boolean {
  return wanted === undefined || test(wanted);
}

const equalsIgnoringCase = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

const normalDomain = (name: string): string => asciiDomain(name) ?? name.toLowerCase();

const lastReplyText = ({ reply }: Recipient): string =>
  reply === undefined ? "" : `${reply.relay} ${formatReply(reply)} ${reply.command}`.toLowerCase();

/** `*` stands for any characters. */
function matchesPattern(pattern: string, address: string): boolean {
  if (!pattern.includes("*")) return equalsIgnoringCase(pattern, address);
  const text = address.toLowerCase();
  const [start = "", ...others] = pattern.toLowerCase().split("*");
  const end = others.pop() ?? "";
  if (!text.startsWith(start) || !text.endsWith(end) || text.length < start.length + end.length) return false;
  // What stands between two stars is taken where it comes first: no other place leaves more for what follows.
  let at = start.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > text.length - end.length) return false;
    at = found + part.length;
  }
  return true;
}
