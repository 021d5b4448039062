/**
 * `file:DIRECTORY` in place of a next hop: each message becomes ID.eml, byte for byte as it would go over the
 * wire, and ID.json with its envelope. For trying out and for tests.
 */
import { mkdir, open, rename, unlink } from "node:fs/promises";
import { join } from "node:path";
import { pipeline } from "node:stream/promises";
import { replaceFile, syncDirectory } from "../../../durable.ts";
import { errorCode, errorText } from "../../../failure.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import type { OutgoingMessage, RecipientOutcome } from "../message/outgoing-message.ts";

const mode = 0o600;

/**
 * Writes `letter` into `directory`, which is made where it is missing. Both files are on disk when it
 * resolves, ID.json last: where it is, the message is whole. A disk that is full is a temporary failure. No outcome
 * where `signal` came before all was written.
 */
export async function deliverToFolder(
  directory: string,
  letter: OutgoingMessage,
  now: () => number,
  signal: AbortSignal,
): Promise<readonly RecipientOutcome[]> {
  const begun = now();
  const said = await store(directory, letter, signal);
  if (said === undefined) return [];
  const at = now();
  return letter.recipients.map((recipient) => ({
    recipient,
    reply: { ...said, relay: "none", command: "", at },
    ...(said.code === 250 && { taken: "delivered" as const }),
    transmitting: at - begun,
  }));
}

async function store(
  directory: string,
  { envelope, recipients, body }: OutgoingMessage,
  signal: AbortSignal,
): Promise<Reply | undefined> {
  const { id, sender, smtputf8 } = envelope;
  const draft = join(directory, `.${id}.new`);
  const note = { id, sender, recipients: recipients.map(({ address }) => address), smtputf8 };
  try {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const file = await open(draft, "w", mode);
    try {
      const write = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
        for await (const chunk of chunks) await file.writeFile(chunk);
      };
      await pipeline(body(), write, { signal });
      await file.sync();
    } finally {
      await file.close();
    }
    await rename(draft, join(directory, `${id}.eml`)); // the moment of delivery
    await syncDirectory(directory);
    await replaceFile(join(directory, `${id}.json`), `${JSON.stringify(note, undefined, 2)}\n`, { mode });
    return reply(250, "2.0.0", `written to ${id}.eml`);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    await unlink(draft).catch(() => undefined); // the next attempt writes it anew
    if (errorCode(error) === "ABORT_ERR") return undefined;
    return reply(451, "4.3.0", `${directory}: ${errorText(error)}`);
  }
}
