/**
 * One mail transaction in an open session: the reply for each recipient, whether the server gave it or we had to
 * because the server gave none.
 */

import type { Readable } from "node:stream";
import { errorText } from "../../failure.ts";
import { type BrokenConnection, type Connection, withDeadline } from "../../smtp/client/connection.ts";
import {
  type EnvelopeCommands,
  runTransaction,
  type TransactionCommand,
  type TransactionEnding,
  type TransactionResult,
} from "../../smtp/client/transaction.ts";
import { formatReply, isPositive, type Reply, reply } from "../../smtp/reply.ts";
import { brokenConnection, type NextHop, oneLine, peer, replyIn } from "./next-hop.ts";
import type { Offer } from "./session-pool.ts";
import type { Timeouts } from "./transport-settings.ts";

/**
 * What a delivery is doing. works: the next step is ours. talks: it is the other side's, or octets are going or coming.
 * waits: everything has been sent, and only the reply is missing. A delivery that waits uses no slot (queue/slots.ts).
 * yields: the same, and another may use its session meanwhile, so that it uses no place at its destination either. If the
 * other could not, it waits again.
 */
export type DeliveryActivity = "works" | "talks" | "waits" | "yields";

/** Where a delivery that yields comes with `decline`, it waits instead if that is called at once: nobody needs its place. */
export type ReportActivity = (activity: DeliveryActivity, decline?: () => void) => void;

export const reportNothing: ReportActivity = () => undefined;

/** The reply for one recipient, and the command it answers; "" if no reply of the server fits. */
export interface RecipientReply {
  readonly reply: Reply;
  readonly command: TransactionCommand | "";
}

export interface TransactionOutcome {
  /** One for each RCPT command, in their order. */
  readonly replies: readonly RecipientReply[];
  /** The server went away before the message was sent: another may be tried at once for recipients without a reply. */
  readonly tryElsewhere: boolean;
  /** Why the session cannot be used for another transaction, as a temporary reply; absent if it can. */
  readonly end?: Reply;
}

export interface MessageBody {
  readonly body: Readable | Buffer;
  /** Octets. */
  readonly size: number;
}

/** Runs the transaction on `connection`, a session with `hop`. */
export async function transact(
  connection: Connection,
  hop: NextHop,
  commands: EnvelopeCommands,
  { body, size }: MessageBody,
  bounds: {
    readonly signal: AbortSignal;
    readonly timeouts: Timeouts;
    readonly report?: ReportActivity;
    /** RSET goes first: milliseconds that its answer may take. */
    readonly reset?: number;
    /** As in TransactionOptions. */
    readonly before?: Promise<"accepted" | "refused" | undefined>;
    /**
     * Called when only the reply is missing; says whether another transaction may begin behind this one, as a session pool does.
     * Calls `givenUp` if one did, and the reply took too long for it.
     */
    readonly handOn?: (givenUp: () => void) => Offer | undefined;
    /** Whether that has happened. */
    readonly isTaken?: () => boolean;
    /** As in TransactionOptions. */
    readonly mayEnd?: (() => boolean) | undefined;
  },
): Promise<TransactionOutcome> {
  const { signal, timeouts, report = reportNothing, reset, before } = bounds;
  const wait = (): void => {
    const offer = bounds.handOn?.(() => report("waits"));
    if (offer === undefined) report("waits");
    else report("yields", offer.withdraw);
  };
  const result = await withDeadline(signal, timeouts.transaction + size, (bound) =>
    runTransaction(connection, commands, body, {
      signal: bound,
      finalPatience: timeouts.final,
      ...(reset !== undefined && { reset }),
      ...(before !== undefined && { before }),
      ...(bounds.mayEnd && { mayEnd: bounds.mayEnd }),
      progress: (what) => (what === "moving" ? report("talks") : wait()),
    }),
  );
  report("works");
  const { begun, whole, ending } = result;
  const last = replyAtEnd(ending, connection, hop);
  const replies = commands.recipients
    .map((_, number) => replyAbout(number, result) ?? last)
    .map((one) => (begun ? one : refusalOfHost(one, hop)));
  const unanswered = replies.find(({ command }) => command === "")?.reply;
  // What has come behind our replies may be another's.
  const isInOrder = bounds.isTaken?.() ? connection.isOpen : connection.isQuiet;
  const usable = unanswered === undefined && (whole || !begun) && isInOrder;
  return {
    replies,
    tryElsewhere: !begun && unanswered !== undefined && isGone(ending),
    ...(!usable && { end: unanswered ?? reply(451, "4.4.2", `${peer(hop)} has ended the session`) }),
  };
}

/** Whether the server ended the session, rather than an unreadable message or a reply out of order. */
function isGone(ending: TransactionEnding): boolean {
  if (ending.kind === "reply") return ending.text.startsWith("421");
  return ending.kind !== "unreadable" && ending.kind !== "withdrawn";
}

/** RFC 5321 section 4.2.2: 421 closes the session, whatever the command was, and says nothing about the message. */
function refusalOfHost({ reply: said, command }: RecipientReply, hop: NextHop): RecipientReply {
  if (said.code !== 421) return { reply: said, command };
  const question = command === "" ? "" : ` (in reply to ${command} command)`;
  return {
    reply: reply(421, said.status, `host ${peer(hop)} said: ${formatReply(said)}${question}`),
    command: "",
  };
}

/** The reply for this recipient alone. */
function replyAbout(
  number: number,
  { refused, accepted, finals, ending }: TransactionResult,
): RecipientReply | undefined {
  const final = finals.get(number);
  if (final !== undefined) return atEndOfData(final);
  // After a refused MAIL, replies to RCPT are about the order of commands, not about recipients.
  if (ending.kind === "reply" && ending.command === "MAIL FROM") return undefined;
  const refusal = refused.get(number);
  if (refusal === undefined) return undefined;
  const said = refusalIn(refusal, "RCPT TO");
  // RFC 5321 section 4.5.3.1.10: old servers send 552 for "too many recipients", which is not a failure.
  const tooMany = said.reply.code === 552 && /^5\.(?:0\.0|5\.3)$/.test(said.reply.status);
  if (!tooMany || accepted === 0) return said;
  return { ...said, reply: { ...said.reply, code: 452, status: "4.5.3" } };
}

const withdrawn = reply(
  451,
  "4.3.0",
  "not sent to its end, since another host may have taken it over by now",
);

/** The last reply, for all recipients without one of their own. */
function replyAtEnd(ending: TransactionEnding, connection: Connection, hop: NextHop): RecipientReply {
  switch (ending.kind) {
    case "reply":
      if (ending.command === "end of DATA") return atEndOfData(ending);
      if (ending.text.startsWith("421")) return { reply: replyIn(ending.text), command: ending.command };
      return refusalIn(ending.text, ending.command);
    case "closing":
      return { reply: replyIn(ending.text), command: "" };
    case "unreset": {
      const reason = `lost connection with ${peer(hop)} between two transactions`;
      return { reply: reply(451, "4.4.2", reason), command: "" };
    }
    case "unreadable": {
      const reason = `the message cannot be read: ${errorText(ending.error)}`;
      return { reply: reply(451, "4.3.0", reason), command: "" };
    }
    case "withdrawn":
      return { reply: withdrawn, command: "" };
    default:
      return replyOfBroken(ending, connection, hop);
  }
}

/** A 421 counts even if the host hangs up before the end of the line. */
function replyOfBroken(ending: BrokenConnection, { state }: Connection, hop: NextHop): RecipientReply {
  const rest = ending.kind === "lost" ? ending.rest : undefined;
  const said = rest?.startsWith("421") ? replyIn(rest) : brokenConnection(ending, state, hop);
  return { reply: said, command: "" };
}

/** A success before the whole message was sent answers something else. */
function atEndOfData({
  text,
  isEarly,
}: {
  readonly text: string;
  readonly isEarly: boolean;
}): RecipientReply {
  const parsed = replyIn(text);
  if (!isPositive(parsed)) return refusalIn(text, "end of DATA");
  return isEarly ? unexpected(text) : { reply: parsed, command: "end of DATA" };
}

/** A reply that should be a refusal. */
function refusalIn(text: string, command: TransactionCommand): RecipientReply {
  // A success instead of 354 refuses the message, too.
  const meant = command === "DATA" && text.startsWith("2") ? `451 4.5.0 unexpected answer: ${text}` : text;
  const parsed = replyIn(meant);
  return parsed.code >= 400 ? { reply: parsed, command } : unexpected(text);
}

/** A reply that does not fit its command: the session is out of step, so its content does not count. */
function unexpected(text: string): RecipientReply {
  return { reply: reply(451, "4.5.0", `unexpected answer: ${oneLine(text)}`), command: "" };
}
