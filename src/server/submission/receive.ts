/** Receives a message: from the client's octets, by DATA or BDAT, to a message in the spool. */

import { PassThrough } from "node:stream";
import type { SMTPServerDataStream } from "smtp-server";
import { errorCode, errorText } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log, logBug } from "../log/log.ts";
import type { Draft, NewEnvelope } from "../spool/spool.ts";
import type { Deadline } from "./client-limits.ts";
import * as limits from "./client-limits.ts";
import { authorRefusal, completeAuthor, type Submitter } from "./header/author.ts";
import { fixHeader, receivedField } from "./header/fixups.ts";
import { isTlsOptional, newHeaderBuffer, readHeader } from "./header/reader.ts";
import type { QuotaRequest, QuotaReservation } from "./limits/quota.ts";
import { emptyScan, type OctetScan, repairLineEnds, scanOctets } from "./line-ends.ts";
import { type RawOctets, writeDrained } from "./parser.ts";
import {
  type BdatChunk,
  clientName,
  type SessionContext,
  type SessionLogin,
  type SubmissionSession,
  type SubmissionTransaction,
} from "./session.ts";
import { tooLarge } from "./transaction.ts";

/** What is known of the message before its octets come. */
export interface MessageContext {
  readonly session: SubmissionSession;
  readonly login: SessionLogin;
  readonly transaction: SubmissionTransaction;
  readonly cipher: string;
}

export interface ReceiveResult {
  readonly reply: Reply;
  /** The client still sends octets of a refused message: the connection ends. */
  readonly hangUp?: true;
}

/** A reply where the spool has no room for a message of `octets`, so that the client need not send it. */
export async function noRoom(
  { spool, reserve }: SessionContext,
  session: SubmissionSession,
  octets: number,
): Promise<Reply | undefined> {
  const free = await trySpool(session, () => spool.free());
  if ("code" in free) return free;
  const inodes = spool.inodesFor(octets);
  const enough = free.octets >= octets + reserve.octets && free.inodes >= inodes + reserve.inodes;
  return enough ? undefined : spoolFull;
}

/** A draft for a message, or the reply to DATA where the quota or the spool does not allow one. */
async function openDraft(
  { spool, quota }: SessionContext,
  session: SubmissionSession,
  request: QuotaRequest,
): Promise<Draft | Reply> {
  const reservation = quota.reserve(request);
  if ("code" in reservation) return reservation;
  const draft = await trySpool(session, () => spool.draft());
  if ("code" in draft) reservation.settle(false);
  return "code" in draft ? draft : withReservation(draft, reservation);
}

/** The draft, whose end settles `reservation`. */
function withReservation(draft: Draft, reservation: QuotaReservation): Draft {
  return {
    id: draft.id,
    write: (octets) => draft.write(octets),
    async accept(envelope) {
      try {
        const promised = await draft.accept(envelope);
        reservation.settle(true);
        return promised;
      } finally {
        reservation.settle(false); // has no effect where it was accepted
      }
    },
    discard() {
      reservation.settle(false);
      return draft.discard();
    },
  };
}

/**
 * Receives `octets`, with their dots unstuffed, until they end. If anything is wrong with them or with the disk, the rest
 * is read and dropped: the client expects the reply at the end.
 * Gives undefined where the client went away: then nothing was accepted.
 */
export async function receive(
  octets: AsyncIterable<Buffer>,
  mail: MessageContext,
  draft: Draft,
  context: SessionContext,
): Promise<ReceiveResult | undefined> {
  const writer = newMessageWriter(mail, draft, context);
  let scan = emptyScan;
  let refusal: Reply | undefined;
  let received = 0;
  const counted = async function* (): AsyncGenerator<Buffer, void> {
    for await (const chunk of octets) {
      received += chunk.length;
      yield chunk;
    }
  };
  try {
    // Repair holds back any number of CRs, so the limit counts the octets that came, too.
    for await (const chunk of context.lineEnds === "repair" ? repairLineEnds(counted()) : octets) {
      scan = scanOctets(scan, chunk);
      refusal ??= octetsRefusal(scan, context.messageSize) ?? (await writer.write(chunk));
      if (Math.max(scan.size, received) > context.messageSize + limits.swallowedMessage) {
        await writer.discard();
        return { reply: tooLarge(context.messageSize), hangUp: true };
      }
    }
  } catch (error) {
    await writer.discard();
    if (!clientGone.includes(errorCode(error))) throw error;
    return undefined;
  }
  refusal ??= await writer.end();
  if (context.isFrozen(mail.login.name)) refusal = frozenLogin; // it was frozen while the message came
  if (refusal) {
    await writer.discard();
    return { reply: refusal };
  }
  return { reply: await accept(mail, draft, writer.headerFacts(), scan, context) };
}

/** Errors that end a message whose client went away: Node's and smtp-server's. */
const clientGone: readonly string[] = ["ERR_STREAM_PREMATURE_CLOSE", "ECONNECTION"];

const frozenLogin = reply(550, "5.7.13", "This login is disabled; please ask the people who run this server");

function octetsRefusal({ size, fault }: OctetScan, messageSize: number): Reply | undefined {
  if (fault) {
    return reply(
      550,
      "5.6.0",
      `The message has ${fault}; lines must end with CR LF and nothing else may look like one`,
    );
  }
  return size > messageSize ? tooLarge(messageSize) : undefined;
}

/** Writes a message into a draft. The header is collected and fixed, the body passes. */
interface MessageWriter {
  write(chunk: Buffer): Promise<Reply | undefined>;
  /** Ends the message, which may be a header only. */
  end(): Promise<Reply | undefined>;
  discard(): Promise<void>;
  headerFacts(): HeaderFacts;
}

/** What the header says. */
interface HeaderFacts {
  readonly messageId: string;
  readonly tlsOptional: boolean;
}

function newMessageWriter(mail: MessageContext, draft: Draft, context: SessionContext): MessageWriter {
  const buffer = newHeaderBuffer();
  let inHeader = true;
  let facts: HeaderFacts = { messageId: "", tlsOptional: false };

  const store = async (octets: Uint8Array): Promise<Reply | undefined> => {
    const trouble = await trySpool(mail.session, () => draft.write(octets), draft.id);
    return trouble && "code" in trouble ? trouble : undefined;
  };

  async function storeHeader(octets: Buffer, rest: Buffer): Promise<Reply | undefined> {
    inHeader = false;
    const { now, hostname, senders } = context;
    const time = now();
    const header = readHeader(octets.toString("latin1"));
    const fields = completeAuthor(header.fields, submitter(mail), senders);
    const fixed = fixHeader(fields, { hostname, id: draft.id, time });
    if ("code" in fixed) return fixed;
    const authorObjection = authorRefusal(fields, mail.login.name, senders);
    if (authorObjection) return authorObjection;
    facts = { messageId: fixed.messageId, tlsOptional: isTlsOptional(fields) };
    const trace = receivedField(receivedInfo(mail, draft.id, time, context));
    const text = header.text === "" ? "" : `\r\n${header.text}`;
    return store(
      Buffer.concat([Buffer.from(trace + fixed.added), Buffer.from(fixed.kept + text, "latin1"), rest]),
    );
  }

  return {
    async write(chunk) {
      if (!inHeader) return store(chunk);
      const whole = buffer.add(chunk);
      if (whole) return storeHeader(whole.octets.subarray(0, whole.end), whole.octets.subarray(whole.end));
      const octets = buffer.octets();
      if (octets.length <= limits.header) return undefined;
      const line = octets.lastIndexOf("\r\n") + 2; // a text of one long paragraph may have no header either
      const { text } = readHeader(octets.toString("latin1", 0, line));
      if (text !== "") return storeHeader(octets.subarray(0, line), octets.subarray(line));
      return reply(552, "5.3.4", `The header is too large, the limit is ${limits.header} octets`);
    },
    end: async () => (inHeader ? storeHeader(buffer.octets(), Buffer.alloc(0)) : undefined),
    discard: async () => {
      await trySpool(mail.session, () => draft.discard(), draft.id);
    },
    headerFacts: () => facts,
  };
}

const submitter = ({ login, transaction }: MessageContext): Submitter => ({
  login: login.name,
  sender: transaction.sender,
  smtputf8: transaction.parameters.smtputf8 ?? false,
});

function receivedInfo(
  { session, transaction, cipher }: MessageContext,
  id: string,
  time: number,
  context: SessionContext,
) {
  const [recipient, ...others] = transaction.recipients;
  return {
    hostname: context.hostname,
    ...(context.clientAddressInMail ? { client: session } : {}),
    cipher,
    smtputf8: transaction.parameters.smtputf8 ?? false,
    id,
    ...(recipient && others.length === 0 ? { recipient: recipient.address } : {}),
    time,
  };
}

/** Commits the message to the spool, logs it, and gives the 250 that may now be sent. */
async function accept(
  mail: MessageContext,
  draft: Draft,
  { messageId, tlsOptional }: HeaderFacts,
  { eightBit }: OctetScan,
  context: SessionContext,
): Promise<Reply> {
  const { session, login } = mail;
  const envelope = await trySpool(
    session,
    () => draft.accept({ ...newEnvelope(mail, tlsOptional, context.now()), eightBit }),
    draft.id,
  );
  if ("code" in envelope) return envelope;
  const { id, sender, size, recipients } = envelope;
  const at = { door: session.listener, client: clientName(session) };
  log("client", { ...at, id, mechanism: login.mechanism, login: login.name });
  log("message-id", { id, messageId });
  log("queued", { id, from: sender, size, recipients: recipients.length });
  context.accepted(envelope);
  return reply(250, "2.0.0", `Ok: queued as ${id}`);
}

/** RFC 8689 section 4.1: the parameter overrides the field. */
function newEnvelope(
  { login, transaction }: MessageContext,
  tlsOptional: boolean,
  now: number,
): Omit<NewEnvelope, "eightBit"> {
  const { envid, ret, smtputf8, requireTls = false } = transaction.parameters;
  return {
    accepted: now,
    login: login.name,
    sender: transaction.sender,
    smtputf8: smtputf8 ?? false,
    ...(envid === undefined ? {} : { envid }),
    ...(ret === undefined ? {} : { ret }),
    ...(requireTls ? { requireTls } : {}),
    ...(tlsOptional && !requireTls ? { tlsOptional } : {}),
    recipients: transaction.recipients,
    attempts: 0,
    due: now,
    warned: false,
  };
}

const spoolFull = reply(452, "4.3.1", "There is no room for the message now, please try again later");

/** Does `work` on the spool. An error of the disk becomes a log line and a temporary reply. */
async function trySpool<Result>(
  session: SubmissionSession,
  work: () => Promise<Result>,
  id?: string,
): Promise<Result | Reply> {
  try {
    return await work();
  } catch (error) {
    const code = errorCode(error);
    if (code === "") logBug("submission, spool", error);
    else {
      const at = { door: session.listener, client: clientName(session) };
      log("not-stored", { ...at, ...(id === undefined ? {} : { id }), reason: errorText(error) });
    }
    if (code === "ENOSPC" || code === "EDQUOT") return spoolFull;
    return reply(451, "4.3.0", "The message could not be stored, please try again later");
  }
}

/** Opens the draft of a message. Gives a reply where it cannot be stored. */
export async function beginMessage(
  session: SubmissionSession,
  context: SessionContext,
): Promise<{ readonly mail: MessageContext; readonly draft: Draft } | Reply> {
  const { login, transaction, cipher } = session;
  if (!login || !transaction || cipher === undefined) throw new Error("a message without a transaction");
  const draft = await openDraft(context, session, transaction.quotaRequest);
  return "code" in draft ? draft : { mail: { session, login, transaction, cipher }, draft };
}

const crlf = Buffer.from("\r\n");

/**
 * The message's octets. Each extends the client's deadline. By BDAT a message may end within a line; a CRLF is then
 * added.
 */
export async function* withDeadline(
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
  deadline.clear(); // from now on the client waits for us
}

/** The stream that chunks go into, of the library's shape. */
export const newChunkStream = (): SMTPServerDataStream =>
  Object.assign(new PassThrough(), { byteLength: 0, sizeExceeded: false });

/** Reads a chunk into `stream`, or drops it where there is none. Then `done` is called. */
export function chunkOctets(
  { octets, isLast }: BdatChunk,
  stream: SMTPServerDataStream | undefined,
  deadline: Deadline,
  done: () => Promise<void>,
): RawOctets {
  return {
    octets,
    async take(piece) {
      if (!stream) return; // and extends no deadline
      deadline.extend(piece.length);
      stream.byteLength += piece.length;
      await writeDrained(stream, piece);
    },
    async done() {
      if (isLast) stream?.end();
      await done();
    },
  };
}
