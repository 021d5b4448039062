/** The looks that the desk takes: which messages there are, and one of them whole. Nothing is changed by that. */

import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { bodyOffset } from "../../smtp/header.ts";
import type { History } from "../spool/spool.ts";
import { isDamaged } from "../spool/spool.ts";
import type { View } from "./floor.ts";
import type { Listed, ListOrder, Piece, Queued, ReadOrder } from "./order.ts";
import { matches, meansDamaged, statusOf } from "./select.ts";

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
