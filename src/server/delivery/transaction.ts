/**
 * One mail transaction on an open session: for every recipient what the server said, or what kept it from saying
 * anything.
 */

import type { Readable } from "node:stream";
import { errorText } from "../../failure.ts";
import { type Broken, type Connection, withDeadline } from "../../smtp/client/connection.ts";
import {
  type Command,
  type Commands,
  type Ending,
  type Exchange,
  exchange,
} from "../../smtp/client/transaction.ts";
import { formatReply, isPositive, type Reply, reply } from "../../smtp/reply.ts";
import { brokenConnection, type NextHop, oneLine, peer, replyIn } from "./next-hop.ts";
import type { Timeouts } from "./transport-settings.ts";

/**
 * How a delivery under way tells whose step is next, so that one that only waits for an answer takes no place from those
 * that move (schedule/places.ts).
 */

/**
 * works: the next step is ours. talks: it is the other side's, or octets have just gone there or come from there.
 * waits: all is said, and nothing but the answer to come.
 */
export type Pace = "works" | "talks" | "waits";

export type TellPace = (pace: Pace) => void;

export const tellNobody: TellPace = () => undefined;

/** What was said about one recipient, and in answer to which command; "" where nothing that fits was said. */
export interface Said {
  readonly reply: Reply;
  readonly command: Command | "";
}

export interface Transaction {
  /** One for each of the commands' recipients, in their order. */
  readonly said: readonly Said[];
  /**
   * The server went away before the message was under way: another may be asked at once about the unanswered.
   */
  readonly elsewhere: boolean;
  /** Why the session is good for no further transaction, as a temporary reply; absent where it is. */
  readonly end?: Reply;
}

export interface Message {
  readonly body: Readable;
  /** Octets. */
  readonly size: number;
}

/** Runs the transaction on `connection`, a session with `hop`. */
export async function transact(
  connection: Connection,
  hop: NextHop,
  commands: Commands,
  { body, size }: Message,
  bounds: { readonly signal: AbortSignal; readonly timeouts: Timeouts; readonly tell?: TellPace },
): Promise<Transaction> {
  const { signal, timeouts, tell = tellNobody } = bounds;
  const result = await withDeadline(signal, timeouts.transaction + size, (bound) =>
    exchange(connection, commands, body, {
      signal: bound,
      finalPatience: timeouts.final,
      progress: (what) => tell(what === "moving" ? "talks" : "waits"),
    }),
  );
  tell("works");
  const { begun, whole, ending } = result;
  const last = saidAtEnd(ending, connection, hop);
  const said = commands.recipients
    .map((_, number) => saidAbout(number, result) ?? last)
    .map((one) => (begun ? one : parting(one, hop)));
  const unanswered = said.find(({ command }) => command === "")?.reply;
  const usable = unanswered === undefined && (whole || !begun) && connection.isQuiet;
  return {
    said,
    elsewhere: !begun && unanswered !== undefined && isGone(ending),
    ...(!usable && { end: unanswered ?? reply(451, "4.4.2", `${peer(hop)} has ended the session`) }),
  };
}

/**
 * The session is at its end, and neither a message that cannot be read nor an answer out of step ended it.
 */
function isGone(ending: Ending): boolean {
  if (ending.kind === "reply") return ending.text.startsWith("421");
  return ending.kind !== "unreadable";
}

/** RFC 5321 section 4.2.2: with 421 the host goes away, whatever it was asked; of the message it says nothing. */
function parting({ reply: said, command }: Said, hop: NextHop): Said {
  if (said.code !== 421) return { reply: said, command };
  const question = command === "" ? "" : ` (in reply to ${command} command)`;
  return {
    reply: reply(421, said.status, `host ${peer(hop)} said: ${formatReply(said)}${question}`),
    command: "",
  };
}

/** What was said about this recipient alone. */
function saidAbout(number: number, { refused, accepted, finals, ending }: Exchange): Said | undefined {
  const final = finals.get(number);
  if (final !== undefined) return atEndOfData(final);
  // Whom a host takes no message from is told of no recipient: what it says of them then is about the order of commands.
  if (ending.kind === "reply" && ending.command === "MAIL FROM") return undefined;
  const refusal = refused.get(number);
  if (refusal === undefined) return undefined;
  const said = read(refusal, "RCPT TO");
  // RFC 5321 section 4.5.3.1.10: 552 is how old servers say "too many recipients", which is no failure.
  const tooMany = said.reply.code === 552 && /^5\.(?:0\.0|5\.3)$/.test(said.reply.status);
  if (!tooMany || accepted === 0) return said;
  return { ...said, reply: { ...said.reply, code: 452, status: "4.5.3" } };
}

/** What was said last, about all recipients that nothing else was said about. */
function saidAtEnd(ending: Ending, connection: Connection, hop: NextHop): Said {
  switch (ending.kind) {
    case "reply":
      if (ending.command === "end of DATA") return atEndOfData(ending);
      if (ending.text.startsWith("421")) return { reply: replyIn(ending.text), command: ending.command };
      return read(ending.text, ending.command);
    case "parting":
      return { reply: replyIn(ending.text), command: "" };
    case "unreadable": {
      const reason = `the message cannot be read: ${errorText(ending.error)}`;
      return { reply: reply(451, "4.3.0", reason), command: "" };
    }
    default:
      return broken(ending, connection, hop);
  }
}

/** A host that says 421 and hangs up before the line is at its end has said so all the same. */
function broken(ending: Broken, { state }: Connection, hop: NextHop): Said {
  const rest = ending.kind === "lost" ? ending.rest : undefined;
  const said = rest?.startsWith("421") ? replyIn(rest) : brokenConnection(ending, state, hop);
  return { reply: said, command: "" };
}

/** A success that came before the message was sent in full is about something else. */
function atEndOfData({ text, isEarly }: { readonly text: string; readonly isEarly: boolean }): Said {
  const parsed = replyIn(text);
  if (!isPositive(parsed)) return read(text, "end of DATA");
  return isEarly ? unexpected(text) : { reply: parsed, command: "end of DATA" };
}

/** A reply that ought to be a refusal. */
function read(text: string, command: Command): Said {
  // A success in place of 354 refuses the message as well.
  const meant = command === "DATA" && text.startsWith("2") ? `451 4.5.0 unexpected answer: ${text}` : text;
  const parsed = replyIn(meant);
  return parsed.code >= 400 ? { reply: parsed, command } : unexpected(text);
}

/** An answer that fits no question: out of step, so nothing it says counts. */
function unexpected(text: string): Said {
  return { reply: reply(451, "4.5.0", `unexpected answer: ${oneLine(text)}`), command: "" };
}
