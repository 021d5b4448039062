/** One message, read from the desk: what is known about it, and its octets. */
import { exitStatus, Failure } from "../../failure.ts";
import type { Listed, Piece, Queued, Unreadable, Window } from "../../server/control/order.ts";
import type { History } from "../../server/spool/spool.ts";

export interface Message {
  readonly about: Queued | Unreadable;
  readonly history: History;
  /** Its header, or all of it. To be read before another message is asked for. */
  readonly octets: AsyncIterable<Buffer>;
}

/** The message `id`, undefined where it is not in the queue. Throws the desk's Failures. */
export async function readMessage(desk: Window, id: string, body: boolean): Promise<Message | undefined> {
  const pieces = desk({ word: "read", id, body })[Symbol.asyncIterator]();
  const first = await pieces.next();
  if (first.done || !("message" in first.value)) {
    throw new Failure(exitStatus.software, `${id}: the relay's answer does not begin with the message`);
  }
  const { message, history } = first.value;
  if (isUnknown(message)) return undefined;
  return { about: message, history, octets: octetsOf({ [Symbol.asyncIterator]: () => pieces }) };
}

const isUnknown = (message: Listed): message is Extract<Listed, { status: "unknown" }> =>
  message.status === "unknown";

async function* octetsOf(pieces: AsyncIterable<Piece>): AsyncGenerator<Buffer> {
  for await (const piece of pieces) if ("octets" in piece) yield Buffer.from(piece.octets, "base64");
}
