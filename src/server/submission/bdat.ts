/**
 * BDAT (RFC 3030 section 2): a message in chunks of a length told before, in which no octet means anything. BINARYMIME
 * is not offered, so what they make up is held to the same lines as with DATA. Pure, as the other commands.
 */
import { type Reply, reply } from "../../smtp/reply.ts";
import * as limits from "./patience.ts";
import { type Answer, answer, type Rules, type Session } from "./session.ts";
import { tooLarge } from "./transaction.ts";

/** What comes behind the command line. */
export interface Chunk {
  readonly octets: number;
  readonly isLast: boolean;
  /** Otherwise the octets are read and dropped: they are none of a message's, and no commands either. */
  readonly isWanted: boolean;
}

const refusedBefore = reply(503, "5.5.1", "A chunk of this message was refused, send RSET first");

/** A chunk of the message. The caller has seen to it that there are recipients. */
export function bdat(session: Session, argument: string, { messageSize }: Rules): Answer {
  const { transaction } = session;
  const chunk = read(argument);
  if (!chunk || !transaction) return notOne(session);
  if (transaction.chunks === "refused") return unwanted(session, argument, refusedBefore);
  const chunks = (transaction.chunks ?? 0) + chunk.octets;
  if (chunks > messageSize) return unwanted(chunksRefused(session), argument, tooLarge(messageSize));
  return {
    session: { ...session, transaction: { ...transaction, chunks } },
    say: [reply(250, "2.0.0", `${chunk.octets} octets received`)],
    next: { ...chunk, isWanted: true },
  };
}

/** Refuses the command with `complaint`; the octets that follow it must be read all the same. */
export function unwanted(session: Session, argument: string, complaint: Reply): Answer {
  const chunk = read(argument);
  if (!chunk) return notOne(session);
  if (chunk.octets > limits.swallowedMessage) return { session, say: [complaint], next: "close" };
  return { ...answer(session, complaint), next: { ...chunk, isWanted: false } };
}

/** The session after a chunk that was refused: nothing helps the message any more. */
export function chunksRefused(session: Session): Session {
  const { transaction } = session;
  return transaction ? { ...session, transaction: { ...transaction, chunks: "refused" } } : session;
}

/** Where the chunk ends cannot be told, so what follows might be taken for commands: as Postfix, we hang up. */
function notOne(session: Session): Answer {
  return { session, say: [reply(421, "4.5.4", "Expected BDAT SIZE or BDAT SIZE LAST")], next: "close" };
}

function read(argument: string): Omit<Chunk, "isWanted"> | undefined {
  const found = /^(\d{1,15})([ \t]+LAST)?$/i.exec(argument);
  return found ? { octets: Number(found[1]), isLast: found[2] !== undefined } : undefined;
}
