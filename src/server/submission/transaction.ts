/** The commands of a transaction: MAIL, RCPT and BDAT. Pure, as the other commands. */

import {
  isAscii,
  isSameMailbox,
  type Path,
  parseMailbox,
  pathFault,
  readPath,
  shownAddress,
} from "../../smtp/address.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import type { Recipient } from "../spool/envelope.ts";
import * as limits from "./client-limits.ts";
import { type MailParameters, mailParameters, rcptParameters, readParameters } from "./parameters.ts";
import { senderRefusal } from "./sender-policy.ts";
import {
  answer,
  type BdatChunk,
  type CommandAnswer,
  type CommandContext,
  domainOf,
  firstBroken,
  type SubmissionSession,
  type SubmissionTransaction,
  withHelp,
} from "./session.ts";

const badSender = (fault: string): Reply =>
  reply(501, "5.1.7", `${fault}; expected MAIL FROM:<user@example.org>`);
const badRecipient = (fault: string): Reply =>
  reply(501, "5.1.3", `${fault}; expected RCPT TO:<user@example.org>`);
const needsSmtputf8 = (address: string): Reply =>
  reply(
    553,
    "5.6.7",
    `${shownAddress(address)}: an address beyond ASCII needs the SMTPUTF8 parameter of MAIL`,
  );
const unqualified = (status: string, address: string, what: string): Reply =>
  reply(554, status, `${shownAddress(address)}: the ${what} address needs a full domain`);

/** `argument` is what follows MAIL. The caller has checked order, TLS and login. */
export function mail(session: SubmissionSession, argument: string, context: CommandContext): CommandAnswer {
  const found = pathBehind("FROM", argument);
  if (typeof found === "string") return answer(session, badSender(found));
  const { rest } = found;
  const parameters: MailParameters | Reply = readParameters(mailParameters, rest);
  if ("code" in parameters) return answer(session, parameters);
  const login = session.login?.name ?? "";
  const path = ofLogin(found.path, session, context);
  const refusal = firstBroken(
    [!isAscii(path.address) && !parameters.smtputf8, () => needsSmtputf8(path.address)],
    [path.address !== "" && !isQualified(path), () => unqualified("5.1.8", path.address, "sender")],
    // RFC 5321 section 4.1.1.11: a parameter that is not offered counts as unknown.
    [
      parameters.requireTls === true && !context.requireTls,
      () => reply(555, "5.5.4", "Parameter REQUIRETLS is not known here"),
    ],
    [
      parameters.drop !== undefined && !isPickup(session),
      () => reply(555, "5.5.4", "Parameter XDROP is not known here"),
    ],
    [(parameters.size ?? 0) > context.messageSize, () => tooLarge(context.messageSize)],
    // RFC 6409 section 6.1. The null reverse-path is anybody's (section 3.2).
    [
      path.address !== "" && !context.senders.mayUse(login, path.address),
      () => withHelp(senderRefusal(context.senders, login, path.address, ""), login, context),
    ],
  );
  if (refusal) return answer(session, refusal);
  const quotaRequest = context.quota.begin(login);
  if ("code" in quotaRequest) return answer(session, withHelp(quotaRequest, login, context));
  const transaction: SubmissionTransaction = {
    sender: path.address,
    parameters,
    recipients: [],
    overshoot: 0,
    quotaRequest,
  };
  return answer({ ...session, transaction }, reply(250, "2.1.0", "Sender ok"));
}

/** Within this host a login's name alone is its own address: whoever brings its mail need not know more. */
function ofLogin(path: Path, { listener, login }: SubmissionSession, { senders }: CommandContext): Path {
  if (listener !== "local" || path.domain !== "" || path.address !== login?.name) return path;
  return parseMailbox(senders.ownAddress(login.name)) ?? path;
}

/** The relay itself, which empties the maildrop, and nobody whom somebody else let in. */
const isPickup = ({ listener, login }: SubmissionSession): boolean =>
  listener === "local" && login?.mechanism === "LOCAL";

/** `argument` is what follows RCPT. The caller has checked that there is a transaction. */
export function rcpt(
  session: SubmissionSession,
  transaction: SubmissionTransaction,
  argument: string,
  context: CommandContext,
): CommandAnswer {
  const found = pathBehind("TO", argument);
  if (typeof found === "string") return answer(session, badRecipient(found));
  if (found.path.address === "") return answer(session, badRecipient("<>: nobody is named"));
  const { path, rest } = found;
  const parameters = readParameters(rcptParameters, rest);
  if ("code" in parameters) return answer(session, parameters);
  const login = session.login?.name ?? "";
  const address = isPostmaster(path) ? `${path.address}@${domainOf(login, context)}` : path.address;
  const refusal = firstBroken(
    [!isAscii(address) && !transaction.parameters.smtputf8, () => needsSmtputf8(address)],
    [!isPostmaster(path) && !isQualified(path), () => unqualified("5.1.2", path.address, "recipient")],
  );
  if (refusal) return answer(session, refusal);
  const accepted = reply(250, "2.1.5", "Recipient ok");
  if (transaction.recipients.some((known) => isSameMailbox(known.address, address))) {
    return answer(session, accepted); // one copy is enough
  }
  if (transaction.recipients.length >= context.recipients)
    return refuseRecipient(session, transaction, tooManyRecipients(context));
  const quotaRequest = context.quota.addRecipient(transaction.quotaRequest, address);
  if ("code" in quotaRequest)
    return refuseRecipient(session, transaction, withHelp(quotaRequest, login, context));
  const recipients: readonly Recipient[] = [
    ...transaction.recipients,
    { address, state: "waiting", ...parameters },
  ];
  return answer({ ...session, transaction: { ...transaction, recipients, quotaRequest } }, accepted);
}

/** RFC 5321 section 4.5.3.1.10: recipients accepted before stay. */
function refuseRecipient(
  session: SubmissionSession,
  transaction: SubmissionTransaction,
  refusal: Reply,
): CommandAnswer {
  const { overshoot } = transaction;
  return answer({ ...session, transaction: { ...transaction, overshoot: overshoot + 1 } }, refusal);
}

const tooManyRecipients = ({ recipients }: CommandContext): Reply =>
  reply(452, "4.5.3", `Enough recipients: ${recipients} in one message, send another one to the rest`);

/** Many clients put a space before the path, which RFC 5321 section 3.3 forbids. Gives a text where something is wrong. */
function pathBehind(
  word: "FROM" | "TO",
  argument: string,
): NonNullable<ReturnType<typeof readPath>> | string {
  const found = /^([A-Za-z]+):[ \t]*(.*)$/s.exec(argument);
  if (found?.[1]?.toUpperCase() !== word) return `no ${word}: before the address`;
  return readPath(found[2] ?? "") ?? pathFault(found[2] ?? "");
}

/** RFC 5321 section 4.5.1: the postmaster of this site needs no domain. */
const isPostmaster = ({ address }: Path): boolean => /^postmaster$/i.test(address);

/** RFC 6409 section 4.2: a domain of one label means different hosts at different sites. An address literal does not. */
function isQualified({ domain }: Path): boolean {
  return domain.startsWith("[") || domain.includes(".");
}

/** RFC 1870 section 6.1. */
export function tooLarge(messageSize: number): Reply {
  return reply(552, "5.3.4", `The message is too large, the limit is ${messageSize} octets`);
}

// BDAT (RFC 3030 section 2): a message in chunks of announced length, in which no octet has a meaning for SMTP. BINARYMIME
// is not offered, so the message must consist of lines, as with DATA.

const refusedBefore = reply(503, "5.5.1", "A chunk of this message was refused, send RSET first");

/** A chunk of the message. The caller has checked that there are recipients. */
export function bdat(
  session: SubmissionSession,
  argument: string,
  { messageSize }: CommandContext,
): CommandAnswer {
  const { transaction } = session;
  const chunk = readChunk(argument);
  if (!chunk || !transaction) return badChunk(session);
  if (transaction.chunks === "refused") return refuseBdat(session, argument, refusedBefore);
  const chunks = (transaction.chunks ?? 0) + chunk.octets;
  if (chunks > messageSize) return refuseBdat(withRefusedChunks(session), argument, tooLarge(messageSize));
  return {
    session: { ...session, transaction: { ...transaction, chunks } },
    replies: [reply(250, "2.0.0", `${chunk.octets} octets received`)],
    next: { ...chunk, isWanted: true },
  };
}

/** Refuses the command with `complaint`. The octets that follow it must be read all the same. */
export function refuseBdat(session: SubmissionSession, argument: string, complaint: Reply): CommandAnswer {
  const chunk = readChunk(argument);
  if (!chunk) return badChunk(session);
  if (chunk.octets > limits.swallowedMessage) return { session, replies: [complaint], next: "close" };
  return { ...answer(session, complaint), next: { ...chunk, isWanted: false } };
}

/** The session after a refused chunk: the message cannot be accepted any more. */
export function withRefusedChunks(session: SubmissionSession): SubmissionSession {
  const { transaction } = session;
  return transaction ? { ...session, transaction: { ...transaction, chunks: "refused" } } : session;
}

/** The end of the chunk is unknown, so its octets could be read as commands. We hang up, as Postfix does. */
function badChunk(session: SubmissionSession): CommandAnswer {
  return { session, replies: [reply(421, "4.5.4", "Expected BDAT SIZE or BDAT SIZE LAST")], next: "close" };
}

function readChunk(argument: string): Omit<BdatChunk, "isWanted"> | undefined {
  const found = /^(\d{1,15})([ \t]+LAST)?$/i.exec(argument);
  return found ? { octets: Number(found[1]), isLast: found[2] !== undefined } : undefined;
}
