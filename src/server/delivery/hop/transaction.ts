/**
 * One mail transaction on an open session (RFC 5321 section 3.3, RFC 2033): the commands, the message, and
 * for every recipient what the server said, or what kept it from saying anything.
 */
import type { Readable } from "node:stream";
import type { SMTPConnectionSendInfo } from "nodemailer/lib/smtp-connection";
import { errorText } from "../../../failure.ts";
import { formatReply, isPositive, type Reply, reply } from "../../../smtp/reply.ts";
import { uncertain } from "../../spool/history.ts";
import type { Hop } from "../route/route.ts";
import { within } from "./deadline.ts";
import { type TellPace, tellNobody } from "./pace.ts";
import { brokenConnection, oneLine, peer, replyIn } from "./peer.ts";
import { type Step, step, type WireError } from "./step.ts";
import type { Timeouts } from "./terms.ts";
import type { Commands, WireConnection } from "./wire.ts";

/** What was said about one recipient, and in answer to which command; "" where nothing that fits was said. */
export interface Said {
  readonly reply: Reply;
  readonly command: string;
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

/** nodemailer keeps its account of the recipients on this object. */
interface Account {
  readonly from: string;
  readonly to: string[];
  readonly accepted?: readonly string[];
  readonly rejectedErrors?: readonly (WireError & { readonly recipient?: string })[];
}

/** Runs the transaction on `wire`, a session with `hop`. */
export async function transact(
  wire: WireConnection,
  hop: Hop,
  commands: Commands,
  message: Message,
  bounds: { readonly signal: AbortSignal; readonly timeouts: Timeouts; readonly tell?: TellPace },
): Promise<Transaction> {
  const { body, size } = message;
  const { signal, timeouts, tell = tellNobody } = bounds;
  const account: Account = { from: "sender", to: commands.recipients.map((_, number) => String(number)) };
  let begun = false;
  let whole = false;
  body.once("data", () => {
    begun = true;
    wire.doing = "sending message body";
  });
  body.on("data", () => tell("talks")); // as fast as they are taken
  body.once("end", () => {
    whole = true;
    wire.doing = `sending end of data -- ${uncertain}`;
    wire.socket?.setTimeout(timeouts.final);
    tell("waits");
  });
  // nodemailer tells of it, but does not listen before it begins nor after it is done
  body.on("error", () => undefined);
  body.pause(); // until nodemailer asks for it
  wire.prepare(commands);
  wire.heard = () => tell("talks");
  tell("talks");
  wire.socket?.setTimeout(timeouts.reply);
  const sent = await within(signal, timeouts.transaction + size, (bound) =>
    step<SMTPConnectionSendInfo>(wire, bound, (done) =>
      wire.send(account, body, (error, info) => done(error, info)),
    ),
  );
  body.destroy();
  wire.heard = undefined;
  tell("works");
  const early = sent.error === undefined && !whole;
  const last = early ? unexpected(sent.value.response) : lastSaid(sent, wire, hop);
  const said = account.to
    .map((number) => saidAbout(number, account, wire) ?? last)
    .map((one) => (begun ? one : parting(one, hop)));
  const unanswered = said.find(({ command }) => command === "")?.reply;
  const usable = unanswered === undefined && (whole || !begun) && wire.socket?.writable === true;
  return {
    said,
    elsewhere: !begun && unanswered !== undefined && sent.error !== undefined && isBroken(sent.error),
    ...(!usable && { end: unanswered ?? reply(451, "4.4.2", `${peer(hop)} has ended the session`) }),
  };
}

/**
 * The session is at its end, and neither a message that cannot be read nor an answer out of step ended it.
 */
const isBroken = ({ code, response, command }: WireError): boolean =>
  code !== "ESTREAM" && (response === undefined || command === "CONN" || response.startsWith("421"));

/** RFC 5321 section 4.2.2: with 421 the host goes away, whatever it was asked; of the message it says nothing. */
function parting({ reply: said, command }: Said, hop: Hop): Said {
  if (said.code !== 421) return { reply: said, command };
  const question = command === "" ? "" : ` (in reply to ${command} command)`;
  return {
    reply: reply(421, said.status, `host ${peer(hop)} said: ${formatReply(said)}${question}`),
    command: "",
  };
}

/** What was said about this recipient alone. */
function saidAbout(number: string, account: Account, wire: WireConnection): Said | undefined {
  const final = wire.finalReplies.get(number);
  if (final !== undefined) return read(final, "end of DATA");
  const refused = account.rejectedErrors?.find(({ recipient }) => recipient === number)?.response;
  if (refused === undefined) return undefined;
  const said = read(refused, "RCPT TO");
  // RFC 5321 section 4.5.3.1.10: 552 is how old servers say "too many recipients", which is no failure.
  const tooMany = said.reply.code === 552 && /^5\.(?:0\.0|5\.3)$/.test(said.reply.status);
  if (!tooMany || (account.accepted ?? []).length === 0) return said;
  return { ...said, reply: { ...said.reply, code: 452, status: "4.5.3" } };
}

/** What was said last, about all recipients that nothing else was said about. */
function lastSaid(sent: Step<SMTPConnectionSendInfo>, wire: WireConnection, hop: Hop): Said {
  if (sent.error === undefined) return read(sent.value.response, "end of DATA", true);
  const { code, command, response } = sent.error;
  if (code === "ESTREAM") {
    return {
      reply: reply(451, "4.3.0", `the message cannot be read: ${errorText(sent.error)}`),
      command: "",
    };
  }
  if (response?.startsWith("421")) return { reply: replyIn(response), command: commandOf(sent.error) };
  if (response === undefined || command === "CONN") {
    return { reply: brokenConnection(sent.error, wire.doing, hop), command: "" };
  }
  return read(response, commandOf(sent.error));
}

/** Which command nodemailer takes for answered, as Postfix calls it. */
const commandOf = ({ code, command = "" }: WireError): string =>
  code === "EMESSAGE" ? "end of DATA" : command === "CONN" ? "" : command;

/** A reply that ought to be a refusal, or for `taken` or LMTP's final ones may be a success. */
function read(said: string, command: string, taken = command === "end of DATA"): Said {
  const parsed = replyIn(said);
  const expected = isPositive(parsed) ? taken : parsed.code >= 400;
  return expected ? { reply: parsed, command } : unexpected(said);
}

/** An answer that fits no question: out of step, so nothing it says counts. */
function unexpected(said: string): Said {
  return { reply: reply(451, "4.5.0", `unexpected answer: ${oneLine(said)}`), command: "" };
}
