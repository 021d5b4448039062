/**
 * Receives a message: from the client's octets, by DATA or BDAT, to a message in the spool. A small one is in memory until it
 * is whole, so that nothing waits before its end; a larger one goes to the spool as it comes.
 */
import { errorCode, errorText } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log, logBug } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import { isSpendRefusal, type SpendRefusal } from "../spool/spend.ts";
import type { Draft, FreeSpace, NewEnvelope, Scratch } from "../spool/spool.ts";
import * as limits from "./client-limits.ts";
import { type FilteredEnvelope, filterMessage } from "./filtering.ts";
import {
  fixMessage,
  type HeaderFacts,
  type MessageContext,
  type MessagePlan,
  type MessageWriter,
  newMessageWriter,
} from "./header/message-writer.ts";
import type { QuotaReservation } from "./limits/quota.ts";
import { type LineRepair, newLineRepair } from "./line-ends.ts";
import { KeptOctets } from "./message-memory.ts";
import { MessageScan, type OctetFault } from "./message-scan.ts";
import type { MessageMilters } from "./milter/filter.ts";
import { clientName, isPrivate, type SessionContext, type SubmissionSession, withHelp } from "./session.ts";
import { tooLarge } from "./transaction.ts";

export interface ReceiveResult {
  readonly reply: Reply;
  /** The client still sends octets of a refused message: the connection ends. */
  readonly hangUp?: true;
}

/** Begins to receive a message. Gives the reply to DATA where the quota or the spool does not allow one. */
export async function beginMessage(
  session: SubmissionSession,
  context: SessionContext,
  stuffed: boolean,
): Promise<IncomingMessage | Reply> {
  const { login, transaction, cipher } = session;
  if (!login || !transaction || !isPrivate(session)) throw new Error("a message without a transaction");
  const reservation = context.quota.reserve(transaction.quotaRequest);
  if ("code" in reservation) return withHelp(reservation, login.name, context);
  try {
    const draft = await context.spool.draft();
    const mail = { session, login, transaction, cipher };
    return new IncomingMessage({ mail, id: draft.id, context }, { draft, reservation }, stuffed);
  } catch (error) {
    reservation.settle(false);
    return spoolTrouble(session, error);
  }
}

/** Octets of a larger message that are gathered before they are written: meanwhile nothing waits for anything. Our choice. */
const writtenAtOnce = 256 * 1024;

/** What a message holds on to until it is accepted or dropped. */
interface ReceivingResources {
  readonly draft: Draft;
  readonly reservation: QuotaReservation;
}

/** A message that is in its draft. */
interface ReadyMessage {
  readonly facts: HeaderFacts;
  /** What the site's filters made of its envelope. */
  readonly filtered?: FilteredEnvelope;
}

/** A message that comes in. If anything is wrong with it or with the disk, the rest is read and dropped. */
export class IncomingMessage {
  readonly #plan: MessagePlan;
  readonly #draft: Draft;
  readonly #reservation: QuotaReservation;
  readonly #scan: MessageScan;
  readonly #repair: LineRepair | undefined;
  readonly #kept: KeptOctets;
  /** Set once the message goes to the spool as it comes. */
  #writer: MessageWriter | undefined;
  /** Where it goes then if filters are to see it first. */
  #scratch: Scratch | undefined;
  /** Octets to store: as many as came where nothing is repaired. */
  #size = 0;
  /** Set while filters look at it. */
  #filtering: AbortController | undefined;
  #notStored: Reply | undefined;
  #isPromised = false;
  /** Resolves when it can take more; undefined where it can do so at once. */
  busy: Promise<void> | undefined;
  /** Whether it is at its end, or was dropped. */
  isWhole = false;

  constructor(plan: MessagePlan, { draft, reservation }: ReceivingResources, stuffed: boolean) {
    const { memory, lineEnds } = plan.context;
    this.#plan = plan;
    this.#draft = draft;
    this.#reservation = reservation;
    this.#scan = new MessageScan(stuffed);
    this.#repair = lineEnds === "repair" ? newLineRepair() : undefined;
    this.#kept = new KeptOctets(memory);
  }

  /** Octets so far. */
  get octets(): number {
    return this.#scan.size;
  }

  /** So many octets came in vain that no more shall be read: it is at its end. */
  get isOverrun(): boolean {
    const most = this.#plan.context.messageSize + limits.swallowedMessage;
    return this.#size > most || this.#scan.size > most;
  }

  /** Takes octets, with the dots that are stuffed. Gives what came behind the end of the message, once that has come. */
  take(chunk: Buffer): Buffer | undefined {
    const { octets, rest } = this.#scan.read(chunk);
    if (this.#repair) this.#store(this.#repair.add(octets)[Symbol.iterator]());
    else if (!this.#keep(octets)) this.#write(octets);
    return rest;
  }

  /** Ends it: all octets have come that shall be read. Gives the reply, after which the message is in the spool or nowhere. */
  async end(): Promise<ReceiveResult> {
    this.isWhole = true;
    try {
      if (this.busy || this.#repair || !this.#scan.isAtLineEnd) await this.#takeEnd();
      const { mail, context } = this.#plan;
      const { messageSize, isFrozen } = context;
      const { name } = mail.login;
      if (this.isOverrun) return { reply: tooLarge(messageSize), hangUp: true };
      const ready = this.#refusal() ?? (await this.#storeRest());
      // It may have been frozen while the message came.
      if (isFrozen(name)) return { reply: withHelp(frozenLogin, name, context) };
      if (!("code" in ready)) return { reply: await this.#accept(ready) };
      const reply = withHelp(ready, name, context);
      return ready.code === 421 ? { reply, hangUp: true } : { reply }; // RFC 5321 section 3.8
    } finally {
      if (!this.#isPromised) await this.#drop();
      else if (this.#scratch) await this.#closeScratch();
    }
  }

  /** Waits no longer for filters: the relay is being stopped. */
  giveUp(): void {
    this.#filtering?.abort();
  }

  /** Drops it where it is not whole. */
  async discard(): Promise<void> {
    if (this.isWhole) return;
    this.isWhole = true;
    await this.#drop();
  }

  /** The first that applies, in whatever pieces the message came. */
  #refusal(): Reply | undefined {
    const { messageSize } = this.#plan.context;
    if (this.#scan.fault && !this.#repair) return faulty(this.#scan.fault);
    return this.#size > messageSize ? tooLarge(messageSize) : this.#notStored;
  }

  /** Keeps a piece in memory, or drops it where it is not needed. False where it must be written. */
  #keep(piece: Buffer): boolean {
    this.#size += piece.length;
    if (this.#refusal()) {
      this.#kept.drop();
      return true;
    }
    return this.#kept.add(piece, this.#writer && writtenAtOnce);
  }

  #store(pieces: Iterator<Buffer>): void {
    for (let next = pieces.next(); next.done !== true; next = pieces.next()) {
      if (!this.#keep(next.value)) {
        this.#write(next.value, pieces);
        return;
      }
    }
  }

  #write(first: Buffer, more?: Iterator<Buffer>): void {
    this.busy = this.#writeAll(first, more).finally(() => {
      this.busy = undefined;
    });
  }

  async #writeAll(first: Buffer, more?: Iterator<Buffer>): Promise<void> {
    let writer = this.#writer;
    if (!writer) {
      if (this.#plan.context.filter) await this.#openScratch();
      writer = newMessageWriter(this.#plan, (octets) => this.#append(octets));
      this.#writer = writer;
    }
    await this.#writeKept(writer, first);
    for (let next = more?.next(); next && next.done !== true; next = more?.next()) {
      if (!this.#keep(next.value)) await this.#writeKept(writer, next.value);
    }
  }

  /** Writes what is kept, and what came behind it. */
  async #writeKept(writer: MessageWriter, ...more: readonly Buffer[]): Promise<void> {
    for (const part of [...this.#kept.parts(), ...more]) this.#notStored ??= await writer.write(part);
    this.#kept.drop();
  }

  async #openScratch(): Promise<void> {
    try {
      this.#scratch = await this.#plan.context.spool.scratch(this.#plan.id);
    } catch (error) {
      this.#notStored ??= this.#trouble(error);
    }
  }

  async #closeScratch(): Promise<void> {
    try {
      await this.#scratch?.close();
    } catch (error) {
      this.#trouble(error);
    }
  }

  /** Adds to the draft, or to what filters are to see; `isGiven` as in draft.ts. Gives a reply where that fails. */
  async #append(
    octets: Buffer,
    to: Scratch | Draft = this.#scratch ?? this.#draft,
    isGiven = false,
  ): Promise<Reply | undefined> {
    try {
      await to.write(octets, isGiven);
      return undefined;
    } catch (error) {
      return this.#trouble(error);
    }
  }

  /** Takes what was held back until the end was known. */
  async #takeEnd(): Promise<void> {
    await this.busy;
    // By BDAT a message may end within a line.
    if (!this.#scan.isAtLineEnd && !this.isOverrun) this.take(lineEnd);
    await this.busy;
    if (this.#repair) this.#store(this.#repair.end()[Symbol.iterator]());
    await this.busy;
  }

  /** Stores what is not in the draft yet. Gives what the header says. */
  async #storeRest(): Promise<ReadyMessage | Reply> {
    const { filter } = this.#plan.context;
    if (this.#writer) {
      await this.#writeKept(this.#writer);
      const refusal = this.#notStored ?? (await this.#writer.end());
      if (refusal) return refusal;
      const facts = this.#writer.facts();
      return filter && this.#scratch ? this.#filtered(filter, this.#scratch, facts) : { facts };
    }
    const fixed = fixMessage(this.#kept.parts(), this.#plan);
    this.#kept.forget();
    if ("code" in fixed) return fixed;
    if (filter) return this.#filtered(filter, fixed.octets, fixed.facts);
    return (await this.#append(fixed.octets, this.#draft, true)) ?? { facts: fixed.facts };
  }

  /** Stores what the filters leave of the message. */
  async #filtered(
    filter: MessageMilters,
    octets: Buffer | Scratch,
    facts: HeaderFacts,
  ): Promise<ReadyMessage | Reply> {
    this.#filtering = new AbortController();
    try {
      const filtered = await filterMessage(
        filter,
        { plan: this.#plan, octets, eightBit: this.#scan.eightBit, stop: this.#filtering.signal },
        (some) => this.#append(some, this.#draft),
      );
      if ("code" in filtered) return filtered;
      const { messageId = facts.messageId, ...envelope } = filtered;
      return { facts: { ...facts, messageId }, filtered: envelope };
    } catch (error) {
      return this.#trouble(error);
    }
  }

  /** Makes the promise, and gives the reply that may be sent then. */
  async #accept({ facts, filtered }: ReadyMessage): Promise<Reply> {
    const { mail, context } = this.#plan;
    const plain = newEnvelope(mail, facts, context.now(), this.#scan.eightBit);
    const envelope = filtered === undefined ? plain : { ...plain, ...filtered };
    let promised: Envelope | SpendRefusal;
    try {
      promised = await this.#draft.accept(envelope, this.#reservation.spend);
    } catch (error) {
      return this.#trouble(error);
    }
    if (isSpendRefusal(promised)) {
      const { name } = mail.login;
      return withHelp(context.quota.refused(name, promised), name, context);
    }
    this.#isPromised = true;
    this.#reservation.settle(true);
    this.#kept.drop();
    return acceptedReply(mail, promised, facts, context);
  }

  async #drop(): Promise<void> {
    await this.busy;
    this.#kept.drop();
    await this.#closeScratch();
    this.#reservation.settle(false);
    try {
      await this.#draft.discard();
    } catch (error) {
      this.#trouble(error);
    }
  }

  #trouble(error: unknown): Reply {
    return spoolTrouble(this.#plan.mail.session, error, this.#plan.id);
  }
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
  { messageId, author }: HeaderFacts,
  context: SessionContext,
): Reply {
  const { id, sender, size, recipients } = envelope;
  const { mechanism, name } = login;
  log("client", { door: session.listener, client: clientName(session), id, mechanism, login: name });
  log("message-id", { id, messageId });
  if (author !== "") log("author-completed", { id, from: author });
  log("queued", { id, from: sender, size, recipients: recipients.length });
  context.accepted(envelope);
  return reply(250, "2.0.0", `Ok: queued as ${id}`);
}

/** RFC 8689 section 4.1: the parameter overrides the field. */
function newEnvelope(
  { login, transaction }: MessageContext,
  { tlsOptional }: HeaderFacts,
  now: number,
  eightBit: boolean,
): NewEnvelope {
  const { envid, ret, smtputf8 = false, requireTls = false, drop } = transaction.parameters;
  const envelope: NewEnvelope & Pick<Envelope, "id" | "size"> = {
    id: "", // this and the size are the spool's to say; they stand here for the reason that session.ts tells
    accepted: now,
    login: login.name,
    sender: transaction.sender,
    size: 0,
    eightBit,
    smtputf8,
    recipients: transaction.recipients,
    attempts: 0,
    due: now,
    warned: false,
  };
  const isPlain = envid === undefined && ret === undefined && drop === undefined;
  if (isPlain && !requireTls && !tlsOptional) return envelope;
  return {
    ...envelope,
    ...(drop === undefined ? {} : { drop }),
    ...(envid === undefined ? {} : { envid }),
    ...(ret === undefined ? {} : { ret }),
    ...(requireTls ? { requireTls } : {}),
    ...(tlsOptional && !requireTls ? { tlsOptional } : {}),
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

/** PostgreSQL's disk_full, and what says that there is no database at the moment. */
const storeFull = "53100";
const storeAway = "ESTOREAWAY";

const away = reply(
  451,
  "4.3.0",
  "The message was not taken, because the store for messages is away; wait a few minutes and send it again",
);

/** The reply to an error of the disk, which is logged. */
export function spoolTrouble(session: SubmissionSession, error: unknown, id?: string): Reply {
  const code = errorCode(error);
  if (code === "") logBug("submission, spool", error);
  else {
    const at = { door: session.listener, client: clientName(session) };
    log("not-stored", { ...at, ...(id === undefined ? {} : { id }), reason: errorText(error) });
  }
  if (code === "ENOSPC" || code === "EDQUOT" || code === storeFull) return spoolFull;
  if (code === storeAway) return away;
  return reply(451, "4.3.0", "The message could not be stored, please try again later");
}
