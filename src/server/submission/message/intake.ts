/** What the ways to hand a message over have in common, DATA and BDAT: how it begins, and what it comes through. */
import { PassThrough } from "node:stream";
import type { SMTPServerDataStream } from "smtp-server";
import type { Reply } from "../../../smtp/reply.ts";
import type { Draft } from "../../spool/spool.ts";
import type { Chunk } from "../bdat.ts";
import type { Deadline } from "../deadline.ts";
import { type Raw, written } from "../lines.ts";
import type { Session } from "../session.ts";
import type { Submission } from "../submission.ts";
import { type Mail, openDraft } from "./receive.ts";

/** What a message is taken into; or the reply where it cannot be stored. */
export async function begin(
  session: Session,
  submission: Submission,
): Promise<{ readonly mail: Mail; readonly draft: Draft } | Reply> {
  const { login, transaction, cipher } = session;
  if (!login || !transaction || cipher === undefined) throw new Error("a message without a transaction");
  const draft = await openDraft(submission, session, transaction.bill);
  return "code" in draft ? draft : { mail: { session, login, transaction, cipher }, draft };
}

const crlf = Buffer.from("\r\n");

/** The message's octets, each of which buys the client some time. By BDAT it may end amid a line; here it does not. */
export async function* paced(
  stream: AsyncIterable<Buffer>,
  deadline: Deadline,
): AsyncGenerator<Buffer, void> {
  let end = crlf;
  for await (const chunk of stream) {
    deadline.extend(chunk.length);
    end = Buffer.concat([end, chunk.subarray(-2)]).subarray(-2);
    yield chunk;
  }
  if (!end.equals(crlf)) yield crlf;
  deadline.clear(); // from here on the client waits for us
}

/** What chunks go into, shaped as the library's own. */
export const newStream = (): SMTPServerDataStream =>
  Object.assign(new PassThrough(), { byteLength: 0, sizeExceeded: false });

/** The octets of a chunk: into `stream`, or nowhere where there is none. `done` is called behind them. */
export function rawFor(
  { octets, isLast }: Chunk,
  stream: SMTPServerDataStream | undefined,
  deadline: Deadline,
  done: () => Promise<void>,
): Raw {
  return {
    octets,
    async take(piece) {
      if (!stream) return; // and it buys no time
      deadline.extend(piece.length);
      stream.byteLength += piece.length;
      await written(stream, piece);
    },
    async done() {
      if (isLast) stream?.end();
      await done();
    },
  };
}
