/**
 * One message on its way to one destination, and what came of it. What a next hop cannot carry is found out here, from
 * the extensions it offers, before a command is sent. Nothing is altered to fit but what RFC 6152 asks for: 8-bit parts
 * that nobody signed are encoded anew.
 */
import type { Readable } from "node:stream";
import { asciiDomain, domainOf, isAscii } from "../../../smtp/address.ts";
import type { Extension } from "../../../smtp/client/ehlo.ts";
import type { Commands } from "../../../smtp/client/transaction.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { embedUnicode, encodeXtext } from "../../../smtp/xtext.ts";
import { inHand } from "../../log/in-hand.ts";
import { log } from "../../log/log.ts";
import type { Envelope, LastReply, Recipient } from "../../spool/envelope.ts";
import { sevenBit } from "./seven-bit.ts";

export interface OutgoingMessage {
  readonly envelope: Envelope;
  /** Those of the envelope's recipients that it shall go to now. */
  readonly recipients: readonly Recipient[];
  /** RFC 6532: the header has UTF-8 in it, and the client asked for SMTPUTF8. */
  readonly utf8Header: boolean;
  /** The message as stored, CRLF line ends; each call reads it anew. */
  readonly body: () => Readable;
}

/** What became of one recipient in one attempt. */
export interface RecipientOutcome {
  readonly recipient: Recipient;
  readonly reply: LastReply;
  /**
   * Of a positive reply: `delivered` into a mailbox, `relayed` to a host that does not tell the sender more,
   * or taken `onward` by one that promised to, with DSN (RFC 3461 section 5.2.1).
   */
  readonly taken?: "delivered" | "relayed" | "onward";
  /** Milliseconds from the moment that the next hop was ready for commands to its answer. */
  readonly transmitting: number;
  /** How many messages the connection has carried with this one, where it was not opened for it. */
  readonly use?: number;
}

/** What the next hop said in answer to EHLO. */
export interface ServerOffer {
  offers(extension: Extension): boolean;
  /** Octets. */
  readonly largest: number;
}

export interface TransactionPlan {
  /** For `carried`, in the same order. */
  readonly commands: Commands;
  readonly carried: readonly Recipient[];
  readonly refused: readonly { readonly recipient: Recipient; readonly reply: Reply }[];
  /** What to send. */
  readonly message: { readonly size: number; readonly body: () => Readable };
}

/**
 * The commands that carry `letter` to a host with this `offer`, and the recipients that it cannot serve. Undefined where
 * `signal` came first.
 */
export async function planFor(
  letter: OutgoingMessage,
  offer: ServerOffer,
  host: string,
  signal: AbortSignal,
): Promise<TransactionPlan | undefined> {
  const { envelope } = letter;
  const form = await formFor(letter, offer, host, signal);
  if (form === undefined) return undefined;
  return inHand(envelope.id, () => commandsFor(letter, form, offer, host));
}

/** What to say, where `form` is how the host can have the message. */
function commandsFor(
  letter: OutgoingMessage,
  form: Form | Reply,
  offer: ServerOffer,
  host: string,
): TransactionPlan {
  const { envelope, recipients } = letter;
  const obstacle = "code" in form ? form : undefined;
  const message = "code" in form ? { ...envelope, body: letter.body } : form;
  const spell = offer.offers("SMTPUTF8") ? (address: string) => address : asciiAddress;
  const sender = spell(envelope.sender);
  const paths = recipients.map(({ address }) => spell(address));
  // RFC 6531 section 3.5
  const refusal = reply(553, "5.6.7", `the address needs SMTPUTF8, which ${host} does not offer`);
  const carried: Recipient[] = [];
  const commands: string[] = [];
  const refused: { recipient: Recipient; reply: Reply }[] = [];
  for (const [at, recipient] of recipients.entries()) {
    const path = paths[at];
    if (obstacle) refused.push({ recipient, reply: obstacle });
    else if (sender === undefined || path === undefined) refused.push({ recipient, reply: refusal });
    else {
      carried.push(recipient);
      commands.push([`RCPT TO:<${path}>`, ...recipientParameters(recipient, offer)].join(" "));
    }
  }
  const utf8 = letter.utf8Header || [sender, ...paths].some((path) => path !== undefined && !isAscii(path));
  const mail = [`MAIL FROM:<${sender}>`, ...mailParameters(envelope, message, offer, utf8)].join(" ");
  return { commands: { mail, recipients: commands }, carried, refused, message };
}

/** The message as it goes out. */
interface Form {
  /** Octets. */
  readonly size: number;
  readonly eightBit: boolean;
  readonly body: () => Readable;
}

/** How the host can have the message, or why it cannot at all; undefined where `signal` came first. */
async function formFor(
  { envelope, utf8Header, body }: OutgoingMessage,
  offer: ServerOffer,
  host: string,
  signal: AbortSignal,
): Promise<Form | Reply | undefined> {
  const { id, size, eightBit } = envelope;
  if (size > offer.largest) return tooLarge(size, offer, host);
  if (utf8Header && !offer.offers("SMTPUTF8")) {
    return reply(
      550,
      "5.6.9",
      `the message has UTF-8 in its header, which ${host} does not take (no SMTPUTF8)`,
    );
  }
  if (!eightBit || offer.offers("8BITMIME")) return { size, eightBit, body };
  // RFC 6152 section 3: convert or return.
  const converted = await sevenBit(body, id, signal);
  if (converted === undefined) return undefined;
  if ("code" in converted) {
    const { code, status, text } = converted;
    if (code < 500) return converted;
    const why = `the message has 8-bit text, which ${host} does not take (no 8BITMIME)`;
    return reply(code, status, `${why}, and must not be converted: ${text}`);
  }
  if (converted.size > offer.largest) return tooLarge(converted.size, offer, host);
  log("converted", { id, host });
  return { ...converted, eightBit: false };
}

/** RFC 1870 section 6.2 */
const tooLarge = (size: number, { largest }: ServerOffer, host: string): Reply =>
  reply(552, "5.3.4", `the message has ${size} octets, ${host} takes ${largest}`);

/** The address with its domain in A-labels; undefined where the local part needs SMTPUTF8 all the same. */
export function asciiAddress(address: string): string | undefined {
  if (isAscii(address)) return address;
  const domain = domainOf(address);
  const local = address.slice(0, address.length - domain.length);
  const ascii = asciiDomain(domain);
  return isAscii(local) && ascii !== undefined ? `${local}${ascii}` : undefined;
}

function mailParameters(
  { ret, envid, requireTls }: Envelope,
  { size, eightBit }: { readonly size: number; readonly eightBit: boolean },
  offer: ServerOffer,
  utf8: boolean,
): readonly string[] {
  const parameters: string[] = [];
  if (offer.offers("SIZE")) parameters.push(`SIZE=${size}`);
  if (eightBit) parameters.push("BODY=8BITMIME");
  if (utf8) parameters.push("SMTPUTF8");
  // RFC 8689 section 5: a report goes to a host without it as well; any other message never gets here then.
  if (requireTls && offer.offers("REQUIRETLS")) parameters.push("REQUIRETLS");
  if (offer.offers("DSN")) {
    if (ret !== undefined) parameters.push(`RET=${ret}`);
    if (envid !== undefined) parameters.push(`ENVID=${encodeXtext(envid)}`);
  }
  return parameters;
}

/** RFC 3461 section 5.2.1: passed on as they came, and where none came none is sent. */
function recipientParameters({ notify, orcpt }: Recipient, offer: ServerOffer): readonly string[] {
  if (!offer.offers("DSN")) return [];
  const parameters: string[] = [];
  if (notify !== undefined) parameters.push(`NOTIFY=${notify.join(",")}`);
  if (orcpt !== undefined) {
    const [type = "", ...value] = orcpt.split(";");
    // RFC 6533 section 3: the form that needs no SMTPUTF8
    const encode = type.toLowerCase() === "utf-8" ? embedUnicode : encodeXtext;
    parameters.push(`ORCPT=${type};${encode(value.join(";"))}`);
  }
  return parameters;
}
