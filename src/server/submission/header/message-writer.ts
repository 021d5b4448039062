/** A message with its header fixed and our trace on top: whole, or as it comes. */
import { type Reply, reply } from "../../../smtp/reply.ts";
import * as limits from "../client-limits.ts";
import type { SessionContext, SessionLogin, SubmissionSession, SubmissionTransaction } from "../session.ts";
import { authorRefusal, completeAuthor, newMailboxReader } from "./author.ts";
import { fixHeader, receivedField } from "./fixups.ts";
import { emptyLine, isTlsOptional, newHeaderBuffer, readHeader } from "./reader.ts";

/** What is known of the message before its octets come. */
export interface MessageContext {
  readonly session: SubmissionSession;
  readonly login: SessionLogin;
  readonly transaction: SubmissionTransaction;
  /** Undefined where the message came from within this host. */
  readonly cipher: string | undefined;
}

/** What the header says. */
export interface HeaderFacts {
  readonly messageId: string;
  readonly tlsOptional: boolean;
  /** The address that From or Sender was completed with; "" where it was not. */
  readonly author: string;
}

/** What the message is to become. */
export interface MessagePlan {
  readonly mail: MessageContext;
  /** Queue ID. */
  readonly id: string;
  readonly context: SessionContext;
}

export interface FixedMessage {
  readonly octets: Buffer;
  readonly facts: HeaderFacts;
}

/** Fixes a whole message. Gives the reply that refuses it. */
export function fixMessage(parts: readonly Buffer[], plan: MessagePlan): FixedMessage | Reply {
  const [first, ...more] = parts;
  if (first !== undefined && headerEnd(first) !== undefined) return withHeader(first, more, plan);
  return withHeader(Buffer.concat(parts), [], plan);
}

/** The message whose header ends in `first`, or is all of it. */
function withHeader(first: Buffer, more: readonly Buffer[], plan: MessagePlan): FixedMessage | Reply {
  const end = headerEnd(first) ?? first.length;
  const header = fixHeaderText(first.toString("latin1", 0, end), plan);
  if ("code" in header) return header;
  return { octets: joined(header, [first.subarray(end), ...more]), facts: header.facts };
}

/** The header and what follows it, copied once. */
function joined({ above, kept }: FixedHeaderText, rest: readonly Buffer[]): Buffer {
  const length = rest.reduce((sum, { length: octets }) => sum + octets, 0);
  // Of its own: it is kept for a while, and with it would be whatever shares its memory.
  const octets = Buffer.allocUnsafeSlow(Buffer.byteLength(above) + kept.length + length);
  let at = octets.write(above);
  at += octets.write(kept, at, "latin1");
  for (const part of rest) at += part.copy(octets, at);
  return octets;
}

/** Where the empty line begins that ends the header. */
function headerEnd(octets: Buffer): number | undefined {
  if (octets[0] === 13 && octets[1] === 10) return 0; // no header at all
  const at = octets.indexOf(emptyLine);
  return at < 0 ? undefined : at + 2;
}

/** A header that is fixed. */
interface FixedHeaderText {
  /** Our own fields. */
  readonly above: string;
  /** The client's, one character an octet ("latin1"). */
  readonly kept: string;
  readonly facts: HeaderFacts;
}

/** `header` has one character for each octet. Gives the reply that refuses the message. */
function fixHeaderText(header: string, { mail, id, context }: MessagePlan): FixedHeaderText | Reply {
  const { now, hostname, senders } = context;
  const { session, login, transaction, cipher } = mail;
  const time = now();
  const smtputf8 = transaction.parameters.smtputf8 ?? false;
  const { fields: given, text } = readHeader(header);
  const mailboxesIn = newMailboxReader();
  const submitter = { login: login.name, sender: transaction.sender, smtputf8 };
  const { fields, author } = completeAuthor(given, submitter, senders, mailboxesIn);
  const fixed = fixHeader(fields, { hostname, id, time });
  if ("code" in fixed) return fixed;
  const authorObjection = authorRefusal(fields, login.name, senders, mailboxesIn);
  if (authorObjection) return authorObjection;
  const [recipient, ...others] = transaction.recipients;
  const trace = receivedField({
    hostname,
    client: context.clientAddressInMail && session.listener !== "onion" ? session : undefined,
    cipher,
    smtputf8,
    id,
    recipient: others.length === 0 ? recipient?.address : undefined,
    time,
  });
  return {
    above: trace + fixed.added,
    kept: text === "" ? fixed.kept : `${fixed.kept}\r\n${text}`,
    facts: { messageId: fixed.messageId, tlsOptional: isTlsOptional(fields), author },
  };
}

/** Writes a message as it comes: its header once that is whole, then the rest. */
export interface MessageWriter {
  /** Gives the reply that refuses the message. */
  write(chunk: Buffer): Promise<Reply | undefined>;
  /** Ends the message, which may be a header only. */
  end(): Promise<Reply | undefined>;
  /** Call when it has ended. */
  facts(): HeaderFacts;
}

/** `store` gives a reply where it cannot. */
export function newMessageWriter(
  plan: MessagePlan,
  store: (octets: Buffer) => Promise<Reply | undefined>,
): MessageWriter {
  const buffer = newHeaderBuffer();
  let facts: HeaderFacts | undefined;

  async function storeHeader(octets: Buffer, end: number): Promise<Reply | undefined> {
    const header = fixHeaderText(octets.toString("latin1", 0, end), plan);
    if ("code" in header) return header;
    facts = header.facts;
    return store(joined(header, [octets.subarray(end)]));
  }

  return {
    async write(chunk) {
      if (facts) return store(chunk);
      const whole = buffer.add(chunk);
      if (whole && whole.end <= limits.header) return storeHeader(whole.octets, whole.end);
      const octets = buffer.octets();
      if (octets.length <= limits.header) return undefined;
      const line = octets.lastIndexOf("\r\n", limits.header - 2) + 2; // a text of one long paragraph may have no header either
      const { text } = readHeader(octets.toString("latin1", 0, line));
      if (text !== "") return storeHeader(octets, line);
      return reply(552, "5.3.4", `The header is too large, the limit is ${limits.header} octets`);
    },
    end: async () => {
      const octets = buffer.octets();
      return facts ? undefined : storeHeader(octets, octets.length);
    },
    facts: () => facts ?? { messageId: "", tlsOptional: false, author: "" },
  };
}
