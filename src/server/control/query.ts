/** The looks that the desk takes: which messages there are, and one of them whole. Nothing is changed by that. */

import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import { bodyOffset } from "../../smtp/header.ts";
import { formatReply } from "../../smtp/reply.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import { type History, isDamaged, type SpoolReader } from "../spool/spool.ts";
import type { FrozenLogins } from "./frozen-logins.ts";
import type { Filter, Listed, ListOrder, Piece, Queued, ReadOrder, Status } from "./protocol.ts";

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

/** Envelopes that are read at a time: enough to keep the disk busy. */
const readers = 32;

/** Octets of a header that are shown, as the reports have it. */
const longestHeader = 100_000;

/** The messages that `order` means, oldest first. */
export async function* list({ ids, filter }: ListOrder, view: View): AsyncGenerator<Listed> {
  const now = view.now();
  const active = view.active();
  const all = ids ?? (await view.spool.ids());
  for await (const found of inOrder(all, readers, (id) => look(id, view, active))) {
    if (found.status === "unknown") {
      if (ids !== undefined) yield found; // else it has just left
    } else if (found.status === "damaged" ? meansDamaged(filter) : matches(filter, found, now)) yield found;
  }
}

/** How one message stands now. */
export async function look(id: string, { spool, active }: View, busy = active()): Promise<Listed> {
  const envelope = await spool.read(id);
  if (!isDamaged(envelope)) return { id, status: statusOf(envelope, busy.has(id)), envelope };
  const isThere = await spool.has(id);
  return isThere ? { id, status: "damaged", reason: envelope.damaged } : { id, status: "unknown" };
}

/** One message; then its header, or all of it. Throws a Failure where it goes away meanwhile. */
export async function* read({ id, body }: ReadOrder, view: View): AsyncGenerator<Piece> {
  const { spool } = view;
  const message = await look(id, view);
  const history: History = message.status === "unknown" ? [] : await spool.history(id);
  yield { message, history };
  if (message.status === "unknown" || message.status === "damaged") return;
  try {
    if (!body) yield piece(headerOf(await spool.bodyStart(id, longestHeader)));
    else for await (const octets of spool.body(id)) yield piece(octets as Buffer);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(
      exitStatus.temporary,
      `${id}: left the queue meanwhile, or cannot be read: ${errorText(error)}`,
    );
  }
}

const piece = (octets: Buffer): Piece => ({ octets: octets.toString("base64") });

/** With the empty line that ends it. */
const headerOf = (start: Buffer): Buffer => start.subarray(0, bodyOffset(start) ?? start.length);

/** Does `work` for each of `items`, so many at a time, and gives the results in the order of the items. */
export async function* inOrder<Item, Result>(
  items: Iterable<Item>,
  lanes: number,
  work: (item: Item) => Promise<Result>,
): AsyncGenerator<Result> {
  const running: Promise<Result>[] = [];
  for (const item of items) {
    const result = work(item);
    result.catch(() => undefined); // thrown below, when its turn has come
    running.push(result);
    const first = running.length >= lanes ? running.shift() : undefined;
    if (first) yield await first;
  }
  for (const result of running) yield await result;
}

/** All messages of `login`. */
export async function* sentBy(login: string, view: View): AsyncGenerator<Queued> {
  for await (const found of list({ word: "list", filter: { user: login } }, view)) {
    if ("envelope" in found) yield found;
  }
}

// Which messages a filter means. Pure.

/** How the message of `envelope` stands. */
export function statusOf({ held, attempts, recipients }: Envelope, isActive: boolean): Queued["status"] {
  if (isActive) return "active";
  if (held !== undefined) return "held";
  // No attempt is counted where the destination could not be reached a moment ago, but there is a reply.
  return attempts === 0 && recipients.every(({ reply }) => reply === undefined) ? "waiting" : "deferred";
}

/** Whether `filter` means the message; `now` is in milliseconds since the epoch. */
export function matches(filter: Filter, { status, envelope }: Queued, now: number): boolean {
  const { login, sender, accepted, recipients } = envelope;
  const waiting = recipients.filter(({ state }) => state === "waiting");
  return (
    fits(filter.user, (user) => login !== null && isSame(user, login)) &&
    fits(filter.sender, (wanted) => isLike(wanted.replace(/^<(.*)>$/, "$1"), sender)) &&
    fits(filter.recipient, (wanted) => waiting.some(({ address }) => isLike(wanted, address))) &&
    fits(filter.domain, (wanted) =>
      waiting.some(({ address }) => domain(domainOf(address)) === domain(wanted)),
    ) &&
    fits(filter.olderThan, (age) => now - accepted > age) &&
    fits(filter.status, (wanted) => (wanted === "late" ? envelope.warned : wanted === status)) &&
    fits(filter.error, (words) =>
      waiting.some((recipient) => saidAbout(recipient).includes(words.toLowerCase())),
    )
  );
}

/** Whether a filter means what cannot be read: only where it asks for nothing else. */
export const meansDamaged = ({ status, ...others }: Filter): boolean =>
  (status === undefined || status === ("damaged" satisfies Status)) &&
  Object.values(others).every((value) => value === undefined);

function fits<Value>(wanted: Value | undefined, test: (wanted: Value) => boolean): boolean {
  return wanted === undefined || test(wanted);
}

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

const domain = (name: string): string => asciiDomain(name) ?? name.toLowerCase();

const saidAbout = ({ reply }: Recipient): string =>
  reply === undefined ? "" : `${reply.relay} ${formatReply(reply)} ${reply.command}`.toLowerCase();

/** `*` stands for any characters. */
function isLike(pattern: string, address: string): boolean {
  if (!pattern.includes("*")) return isSame(pattern, address);
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
