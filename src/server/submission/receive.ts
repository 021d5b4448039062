/**
 * Receives a message: from the client's octets, by DATA or BDAT, to a message in the spool. A small one is in memory until it
 * is whole, so that nothing waits before its end; a larger one goes to the spool as it comes.
 */
import { errorCode, errorText } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { Draft, FreeSpace, NewEnvelope } from "../spool/spool.ts";
import * as limits from "./client-limits.ts";
import {
  fixMessage,
  type HeaderFacts,
  type MessageContext,
  type MessageWriter,
  newMessageWriter,
} from "./header/message-writer.ts";
import type { QuotaReservation } from "./limits/quota.ts";
import { newLineRepair } from "./line-ends.ts";
import { newKeptOctets } from "./message-memory.ts";
import { newMessageScan, type OctetFault } from "./message-scan.ts";
import { clientName, type SessionContext, type SubmissionSession } from "./session.ts";
import { tooLarge } from "./transaction.ts";

export interface ReceiveResult {
  readonly reply: Reply;
  /** The client still sends octets of a refused message: the connection ends. */
  readonly hangUp?: true;
}

/** A message that comes in. If anything is wrong with it or with the disk, the rest is read and dropped. */
export interface IncomingMessage {
  /** Takes octets, with the dots that are stuffed. Gives what came behind the end of the message, once that has come. */
  take(octets: Buffer): Buffer | undefined;
  /** Resolves when it can take more; undefined where it can do so at once. Never rejects. */
  readonly busy: Promise<void> | undefined;
  /** Octets so far. */
  readonly octets: number;
  /** So many octets came in vain that no more shall be read: it is at its end. */
  readonly isOverrun: boolean;
  /** Ends it: all octets have come that shall be read. Gives the reply, after which the message is in the spool or nowhere. */
  end(): Promise<ReceiveResult>;
  /** Whether {@link end} was called. */
  readonly isWhole: boolean;
  /** Drops it where it is not whole. */
  discard(): Promise<void>;
}

/** Begins to receive a message. Gives the reply to DATA where the quota or the spool does not allow one. */
export async function beginMessage(
  session: SubmissionSession,
  context: SessionContext,
  stuffed: boolean,
): Promise<IncomingMessage | Reply> {
  const { login, transaction, cipher } = session;
  if (!login || !transaction || cipher === undefined) throw new Error("a message without a transaction");
  const reservation = context.quota.reserve(transaction.quotaRequest);
  if ("code" in reservation) return reservation;
  try {
    const draft = await context.spool.draft();
    const mail = { session, login, transaction, cipher };
    return newIncomingMessage(mail, { draft, reservation }, context, stuffed);
  } catch (error) {
    reservation.settle(false);
    return spoolTrouble(session, error);
  }
}

/** What a message holds on to until it is accepted or dropped. */
interface Held {
  readonly draft: Draft;
  readonly reservation: QuotaReservation;
}

function newIncomingMessage(
  mail: MessageContext,
  { draft, reservation }: Held,
  context: SessionContext,
  stuffed: boolean,
): IncomingMessage {
  const { messageSize } = context;
  const plan = { mail, id: draft.id, context };
  const scan = newMessageScan(stuffed);
  const repair = context.lineEnds === "repair" ? newLineRepair() : undefined;
  const kept = newKeptOctets(context.memory);
  /** Set once the message goes to the spool as it comes. */
  let writer: MessageWriter | undefined;
  /** Octets to store: as many as came where nothing is repaired. */
  let size = 0;
  let notStored: Reply | undefined;
  let busy: Promise<void> | undefined;
  let isWhole = false;
  let isPromised = false;

  /** The first that applies, in whatever pieces the message came. */
  function refusal(): Reply | undefined {
    if (scan.fault && !repair) return faulty(scan.fault);
    return size > messageSize ? tooLarge(messageSize) : notStored;
  }

  const isOverrun = (): boolean => Math.max(size, scan.size) > messageSize + limits.swallowedMessage;

  function take(chunk: Buffer): Buffer | undefined {
    const { octets, rest } = scan.read(chunk);
    store((repair ? repair.add(octets) : [octets])[Symbol.iterator]());
    return rest;
  }

  function store(pieces: Iterator<Buffer>): void {
    for (let next = pieces.next(); next.done !== true; next = pieces.next()) {
      if (isDropped(next.value) || (!writer && kept.add(next.value))) continue;
      busy = writeOut(next.value, pieces).finally(() => {
        busy = undefined;
      });
      return;
    }
  }

  /** Counts a piece. Tells whether it is not needed any more. */
  function isDropped(piece: Buffer): boolean {
    size += piece.length;
    if (!refusal()) return false;
    kept.drop();
    return true;
  }

  async function writeOut(first: Buffer, more: Iterator<Buffer>): Promise<void> {
    if (!writer) {
      writer = newMessageWriter(plan, write);
      for (const part of kept.parts()) notStored ??= await writer.write(part);
      kept.drop();
    }
    notStored ??= await writer.write(first);
    for (let next = more.next(); next.done !== true; next = more.next()) {
      if (!isDropped(next.value)) notStored ??= await writer.write(next.value);
    }
  }

  async function write(octets: Buffer): Promise<Reply | undefined> {
    try {
      await draft.write(octets);
      return undefined;
    } catch (error) {
      return spoolTrouble(mail.session, error, draft.id);
    }
  }

  /** Takes what was held back until the end was known. */
  async function takeEnd(): Promise<void> {
    if (busy) await busy;
    // By BDAT a message may end within a line.
    if (!scan.isAtLineEnd && !isOverrun()) take(lineEnd);
    if (busy) await busy;
    if (repair) store(repair.end()[Symbol.iterator]());
    if (busy) await busy;
  }

  /** Stores what is not in the draft yet. Gives what the header says. */
  async function storeRest(): Promise<HeaderFacts | Reply> {
    if (writer) return (await writer.end()) ?? writer.facts();
    const fixed = fixMessage(kept.parts(), plan);
    return "code" in fixed ? fixed : ((await write(fixed.octets)) ?? fixed.facts);
  }

  /** Makes the promise, and gives the reply that may be sent then. */
  async function accept(facts: HeaderFacts): Promise<Reply> {
    const { eightBit } = scan;
    let promised: Envelope;
    try {
      promised = await draft.accept({ ...newEnvelope(mail, facts, context.now()), eightBit });
    } catch (error) {
      return spoolTrouble(mail.session, error, draft.id);
    }
    isPromised = true;
    reservation.settle(true);
    kept.drop();
    return acceptedReply(mail, promised, facts, context);
  }

  async function result(): Promise<ReceiveResult> {
    if (busy || repair || !scan.isAtLineEnd) await takeEnd();
    if (isOverrun()) return { reply: tooLarge(messageSize), hangUp: true };
    const facts = refusal() ?? (await storeRest());
    // It may have been frozen while the message came.
    if (context.isFrozen(mail.login.name)) return { reply: frozenLogin };
    return { reply: "code" in facts ? facts : await accept(facts) };
  }

  async function drop(): Promise<void> {
    if (busy) await busy;
    kept.drop();
    reservation.settle(false);
    try {
      await draft.discard();
    } catch (error) {
      spoolTrouble(mail.session, error, draft.id);
    }
  }

  return {
    take,
    get busy() {
      return busy;
    },
    get octets() {
      return scan.size;
    },
    get isOverrun() {
      return isOverrun();
    },
    get isWhole() {
      return isWhole;
    },
    async end() {
      isWhole = true;
      try {
        return await result();
      } finally {
        if (!isPromised) await drop();
      }
    },
    async discard() {
      if (isWhole) return;
      isWhole = true;
      await drop();
    },
  };
}

const lineEnd = Buffer.from("\r\n");

const frozenLogin = reply(550, "5.7.13", "This login is disabled; please ask the people who run this server");

function faulty(fault: OctetFault): Reply {
  return reply(
    550,
    "5.6.0",
    `The message has ${fault}; lines must end with CR LF and nothing else may look like one`,
  );
}

/** Logs the message that the spool has promised, and gives the 250 that may now be sent. */
function acceptedReply(
  { session, login }: MessageContext,
  envelope: Envelope,
  { messageId }: HeaderFacts,
  context: SessionContext,
): Reply {
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
  { tlsOptional }: HeaderFacts,
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

/** A reply where the disk has no room for a message of `octets`, so that the client need not send it. */
export function noRoom(
  free: FreeSpace,
  { spool, reserve }: SessionContext,
  octets: number,
): Reply | undefined {
  const inodes = spool.inodesFor(octets);
  const enough = free.octets >= octets + reserve.octets && free.inodes >= inodes + reserve.inodes;
  return enough ? undefined : spoolFull;
}

const spoolFull = reply(452, "4.3.1", "There is no room for the message now, please try again later");

/** The reply to an error of the disk, which is logged. */
export function spoolTrouble(session: SubmissionSession, error: unknown, id?: string): Reply {
  const code = errorCode(error);
  if (code === "") logBug("submission, spool", error);
  else {
    const at = { door: session.listener, client: clientName(session) };
    log("not-stored", { ...at, ...(id === undefined ? {} : { id }), reason: errorText(error) });
  }
  if (code === "ENOSPC" || code === "EDQUOT") return spoolFull;
  return reply(451, "4.3.0", "The message could not be stored, please try again later");
}
