/** The message itself: from the client's octets to a promise in the spool. */

import { PassThrough } from "node:stream";
import type { SMTPServerDataStream } from "smtp-server";
import { errorCode, errorText } from "../../failure.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { log, logBug } from "../log/log.ts";
import type { Draft, NewEnvelope } from "../spool/spool.ts";
import type { Deadline } from "./client-limits.ts";
import * as limits from "./client-limits.ts";
import { authorObjection, type Submitter, withAuthor } from "./header/author.ts";
import { fixHeader, receivedField } from "./header/fixups.ts";
import { isTlsOptional, newHead, readOpening } from "./header/reader.ts";
import type { Bill, Charge } from "./limits/quota.ts";
import { inspect, noOctets, type Octets, repaired } from "./line-ends.ts";
import { type Raw, written } from "./parser.ts";
import {
  type Chunk,
  clientName,
  type Login,
  type Session,
  type Submission,
  type Transaction,
} from "./session.ts";
import { tooLarge } from "./transaction.ts";

/** What is known when DATA comes. */
export interface Mail {
  readonly session: Session;
  readonly login: Login;
  readonly transaction: Transaction;
  readonly cipher: string;
}

export interface Outcome {
  readonly reply: Reply;
  /** The client is still sending what nobody wants: there is no going on with it. */
  readonly hangUp?: true;
}

/** A reply where the spool has no room for a message of `octets`, before the client sends it in vain. */
export async function noRoom(
  { spool, reserve }: Submission,
  session: Session,
  octets: number,
): Promise<Reply | undefined> {
  const free = await held(session, () => spool.free());
  if ("code" in free) return free;
  const enough = free.octets >= octets + reserve.octets && free.inodes >= 2 + reserve.inodes; // a body, an envelope
  return enough ? undefined : full;
}

/** A draft for the message that `bill` is about, or the reply to DATA where the limits or the spool have none to give. */
export async function openDraft(
  { spool, quota }: Submission,
  session: Session,
  bill: Bill,
): Promise<Draft | Reply> {
  const charge = quota.charge(bill);
  if ("code" in charge) return charge;
  const draft = await held(session, () => spool.draft());
  if ("code" in draft) charge.settle(false);
  return "code" in draft ? draft : charged(draft, charge);
}

/** The draft, whose end settles `charge`. */
function charged(draft: Draft, charge: Charge): Draft {
  return {
    id: draft.id,
    write: (octets) => draft.write(octets),
    async accept(envelope) {
      try {
        const promised = await draft.accept(envelope);
        charge.settle(true);
        return promised;
      } finally {
        charge.settle(false); // no longer of account where it was accepted
      }
    },
    discard() {
      charge.settle(false);
      return draft.discard();
    },
  };
}

/**
 * Takes in `octets`, dots already unstuffed, until they end. Whatever is wrong with them, or with the disk, the
 * rest is read and dropped, so that the reply comes where the client waits for it.
 * Gives undefined where the client went away: then nothing was promised.
 */
export async function receive(
  octets: AsyncIterable<Buffer>,
  mail: Mail,
  draft: Draft,
  submission: Submission,
): Promise<Outcome | undefined> {
  const intake = newIntake(mail, draft, submission);
  let seen = noOctets;
  let refusal: Reply | undefined;
  let came = 0;
  const counted = async function* (): AsyncGenerator<Buffer, void> {
    for await (const chunk of octets) {
      came += chunk.length;
      yield chunk;
    }
  };
  try {
    // Repair holds back CRs, as many as come: the end of patience counts what came, too.
    for await (const chunk of submission.lineEnds === "repair" ? repaired(counted()) : octets) {
      seen = inspect(seen, chunk);
      refusal ??= objection(seen, submission.messageSize) ?? (await intake.write(chunk));
      if (Math.max(seen.size, came) > submission.messageSize + limits.swallowedMessage) {
        await intake.discard();
        return { reply: tooLarge(submission.messageSize), hangUp: true };
      }
    }
  } catch (error) {
    await intake.discard();
    if (!gone.includes(errorCode(error))) throw error;
    return undefined;
  }
  refusal ??= await intake.end();
  if (submission.isFrozen(mail.login.name)) refusal = shutOut; // it was frozen while the message came
  if (refusal) {
    await intake.discard();
    return { reply: refusal };
  }
  return { reply: await accept(mail, draft, intake.told(), seen, submission) };
}

/** How a message ends whose client went away: Node's word for it, and smtp-server's. */
const gone: readonly string[] = ["ERR_STREAM_PREMATURE_CLOSE", "ECONNECTION"];

const shutOut = reply(550, "5.7.13", "This login is disabled; please ask the people who run this server");

function objection({ size, fault }: Octets, messageSize: number): Reply | undefined {
  if (fault) {
    return reply(
      550,
      "5.6.0",
      `The message has ${fault}; lines must end with CR LF and nothing else may look like one`,
    );
  }
  return size > messageSize ? tooLarge(messageSize) : undefined;
}

/** A message on its way into a draft: the header is gathered and mended, the body passes. */
interface Intake {
  write(chunk: Buffer): Promise<Reply | undefined>;
  /** For a message that is header only. */
  end(): Promise<Reply | undefined>;
  discard(): Promise<void>;
  told(): Told;
}

/** What the header says. */
interface Told {
  readonly messageId: string;
  readonly tlsOptional: boolean;
}

function newIntake(mail: Mail, draft: Draft, submission: Submission): Intake {
  const head = newHead();
  let inHeader = true;
  let told: Told = { messageId: "", tlsOptional: false };

  const store = async (octets: Uint8Array): Promise<Reply | undefined> => {
    const trouble = await held(mail.session, () => draft.write(octets), draft.id);
    return trouble && "code" in trouble ? trouble : undefined;
  };

  async function storeHead(octets: Buffer, rest: Buffer): Promise<Reply | undefined> {
    inHeader = false;
    const { now, hostname, senders } = submission;
    const time = now();
    const opening = readOpening(octets.toString("latin1"));
    const fields = withAuthor(opening.fields, submitter(mail), senders);
    const fixed = fixHeader(fields, { hostname, id: draft.id, time });
    if ("code" in fixed) return fixed;
    const foreign = authorObjection(fields, mail.login.name, senders);
    if (foreign) return foreign;
    told = { messageId: fixed.messageId, tlsOptional: isTlsOptional(fields) };
    const trace = receivedField(passage(mail, draft.id, time, submission));
    const text = opening.text === "" ? "" : `\r\n${opening.text}`;
    return store(
      Buffer.concat([Buffer.from(trace + fixed.added), Buffer.from(fixed.kept + text, "latin1"), rest]),
    );
  }

  return {
    async write(chunk) {
      if (!inHeader) return store(chunk);
      const whole = head.add(chunk);
      if (whole) return storeHead(whole.octets.subarray(0, whole.end), whole.octets.subarray(whole.end));
      const octets = head.octets();
      if (octets.length <= limits.header) return undefined;
      const line = octets.lastIndexOf("\r\n") + 2; // a text of one long paragraph may have no header either
      const { text } = readOpening(octets.toString("latin1", 0, line));
      if (text !== "") return storeHead(octets.subarray(0, line), octets.subarray(line));
      return reply(552, "5.3.4", `The header is too large, the limit is ${limits.header} octets`);
    },
    end: async () => (inHeader ? storeHead(head.octets(), Buffer.alloc(0)) : undefined),
    discard: async () => {
      await held(mail.session, () => draft.discard(), draft.id);
    },
    told: () => told,
  };
}

const submitter = ({ login, transaction }: Mail): Submitter => ({
  login: login.name,
  sender: transaction.sender,
  smtputf8: transaction.parameters.smtputf8 ?? false,
});

function passage({ session, transaction, cipher }: Mail, id: string, time: number, submission: Submission) {
  const [recipient, ...others] = transaction.recipients;
  return {
    hostname: submission.hostname,
    ...(submission.clientAddressInMail ? { client: session } : {}),
    cipher,
    smtputf8: transaction.parameters.smtputf8 ?? false,
    id,
    ...(recipient && others.length === 0 ? { recipient: recipient.address } : {}),
    time,
  };
}

/** Makes the promise, notes it, and gives the 250 that may now be said. */
async function accept(
  mail: Mail,
  draft: Draft,
  { messageId, tlsOptional }: Told,
  { eightBit }: Octets,
  submission: Submission,
): Promise<Reply> {
  const { session, login } = mail;
  const envelope = await held(
    session,
    () => draft.accept({ ...newEnvelope(mail, tlsOptional, submission.now()), eightBit }),
    draft.id,
  );
  if ("code" in envelope) return envelope;
  const { id, sender, size, recipients } = envelope;
  const at = { door: session.door, client: clientName(session) };
  log("client", { ...at, id, mechanism: login.mechanism, login: login.name });
  log("message-id", { id, messageId });
  log("queued", { id, from: sender, size, recipients: recipients.length });
  submission.accepted(envelope);
  return reply(250, "2.0.0", `Ok: queued as ${id}`);
}

/** RFC 8689 section 4.1: the parameter counts more than the field. */
function newEnvelope(
  { login, transaction }: Mail,
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

const full = reply(452, "4.3.1", "There is no room for the message now, please try again later");

/** Does something with the spool. What the disk refuses becomes a log line and a reply that says "later". */
async function held<Result>(
  session: Session,
  work: () => Promise<Result>,
  id?: string,
): Promise<Result | Reply> {
  try {
    return await work();
  } catch (error) {
    const code = errorCode(error);
    if (code === "") logBug("submission, spool", error);
    else {
      const at = { door: session.door, client: clientName(session) };
      log("not-stored", { ...at, ...(id === undefined ? {} : { id }), reason: errorText(error) });
    }
    if (code === "ENOSPC" || code === "EDQUOT") return full;
    return reply(451, "4.3.0", "The message could not be stored, please try again later");
  }
}

// What the ways to hand a message over have in common, DATA and BDAT: how it begins, and what it comes through.

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
