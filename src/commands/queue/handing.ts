/** Messages in parcels, a batch at a time: what is lost with a connection is sent again, and costs little. */
import { errorCode, errorText, Failure } from "../../failure.ts";
import { formatLine, type ParcelLine } from "../../server/spool/parcel.ts";
import type { Handed } from "./source.ts";

/** Messages and octets of a batch. Our choice: a few fsyncs for all of them, and soon over. */
const mostMessages = 64;
const mostOctets = 8 * 1024 * 1024;

/** A message that cannot be read, which shows only when its octets are asked for. */
export class UnreadableMessage extends Error {
  readonly id: string;

  constructor(id: string, cause: unknown) {
    super(errorText(cause), { cause });
    this.id = id;
  }
}

/** `messages` in batches, at least one message in each. */
export async function* batches(messages: AsyncIterable<Handed>): AsyncGenerator<readonly Handed[]> {
  let batch: Handed[] = [];
  let octets = 0;
  for await (const message of messages) {
    const { size } = message.envelope;
    if (batch.length >= mostMessages || (batch.length > 0 && octets + size > mostOctets)) {
      yield batch;
      batch = [];
      octets = 0;
    }
    batch.push(message);
    octets += size;
  }
  if (batch.length > 0) yield batch;
}

/** The octets of a parcel. Throws {@link UnreadableMessage} amid a message that cannot be read. */
export async function* parcelOf(
  lines: readonly ParcelLine[],
  messages: readonly Handed[],
): AsyncGenerator<Uint8Array> {
  for (const line of lines) yield formatLine(line);
  for (const { envelope, history, octets } of messages) {
    yield formatLine({ is: "message", envelope, history });
    yield* allOf(envelope.id, envelope.size, octets());
    yield Buffer.from("\n");
  }
}

async function* allOf(
  id: string,
  size: number,
  octets: AsyncIterable<Uint8Array>,
): AsyncGenerator<Uint8Array> {
  let count = 0;
  try {
    for await (const piece of octets) {
      count += piece.length;
      if (count > size) break;
      yield piece;
    }
  } catch (error) {
    if (error instanceof Failure || errorCode(error) !== "") throw new UnreadableMessage(id, error);
    throw error;
  }
  if (count !== size)
    throw new UnreadableMessage(id, new Error(`expected ${String(size)} octets, found ${String(count)}`));
}
