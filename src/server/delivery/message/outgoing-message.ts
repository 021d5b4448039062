/**
 * One message on its way to one destination, and the outcome. Compares the message with the extensions that the next
 * hop offers before a command is sent. Only RFC 6152 lets us change a message to fit: 8-bit parts that are not signed
 * are encoded anew.
 */
import { Readable } from "node:stream";
import { type Soon, whenThere } from "../../../at-once.ts";
import { asciiDomain, domainOf, isAscii } from "../../../smtp/address.ts";
import type { Extension } from "../../../smtp/client/ehlo.ts";
import type { EnvelopeCommands } from "../../../smtp/client/transaction.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { embedUnicode, encodeXtext } from "../../../smtp/xtext.ts";
import { workOnMessage } from "../../log/event-loop.ts";
import { log } from "../../log/log.ts";
import type { Envelope, LastReply, Recipient } from "../../spool/envelope.ts";
import type { Signer } from "../dkim/signer.ts";
import { sevenBit } from "./seven-bit.ts";

export interface OutgoingMessage {
  readonly envelope: Envelope;
  /** The envelope's recipients that it goes to now. */
  readonly recipients: readonly Recipient[];
  /** RFC 6532: the header has UTF-8 in it, and the client asked for SMTPUTF8. */
  readonly utf8Header: boolean;
  /** The message as stored, CRLF line ends; each call reads it anew. */
  readonly body: () => Readable;
  /** The same, where it is in memory. */
  readonly octets?: Buffer;
  /** Asked before its last octet goes out: whether nobody else delivers it meanwhile. */
  readonly mayEnd?: () => boolean;
  /** Signs it when it is as it goes out; absent where nothing is signed. */
  readonly sign?: Signer;
}

/** The result of one attempt for one recipient. */
export interface RecipientOutcome {
  readonly recipient: Recipient;
  readonly reply: LastReply;
  /**
   * For a positive reply: `delivered` into a mailbox, `relayed` to a host that sends no further reports, or accepted
   * `onward` by a host with DSN, which does (RFC 3461 section 5.2.1).
   */
  readonly taken?: "delivered" | "relayed" | "onward";
  /** Milliseconds from when the next hop was ready for commands until its reply. */
  readonly transmitting: number;
  /** How many messages the connection has carried, this one included; absent if it was opened for this one. */
  readonly use?: number;
  /** `Verified TLSv1.3`: how the session was secured; absent if it was not, or if the host said nothing of the recipient. */
  readonly tls?: string;
}

/** What the next hop announced in its reply to EHLO. */
export interface HostCapabilities {
  offers(extension: Extension): boolean;
  /** Octets. */
  readonly largest: number;
}

export interface TransactionPlan {
  /** For the `carried` recipients, in the same order. */
  readonly commands: EnvelopeCommands;
  readonly carried: readonly Recipient[];
  readonly refused: readonly { readonly recipient: Recipient; readonly reply: Reply }[];
  readonly encoded: Pick<EncodedMessage, "size" | "body" | "octets">;
}

/**
 * The commands that send `message` to a host with these `capabilities`, and the recipients that it cannot serve.
 * Undefined if `signal` was raised first.
 */
export function planTransaction(
  message: OutgoingMessage,
  capabilities: HostCapabilities,
  host: string,
  signal: AbortSignal,
): Soon<TransactionPlan | undefined> {
  const unsigned =
    unchangedFor(message, capabilities, host) ?? inSevenBits(message, capabilities, host, signal);
  const encoded = whenThere(unsigned, (one) => {
    if (one === undefined || "code" in one || message.sign === undefined) return one;
    return signedFor(message, one, signal);
  });
  return whenThere(encoded, (one) => {
    if (one === undefined) return undefined;
    const isTooLarge = !("code" in one) && one.size > capabilities.largest;
    const result = isTooLarge ? tooLarge(one.size, capabilities, host) : one;
    return workOnMessage(message.envelope.id, () => commandsFor(message, result, capabilities, host));
  });
}

/** The commands for the message as `encodedFor` returned it. */
function commandsFor(
  message: OutgoingMessage,
  result: EncodedMessage | Reply,
  capabilities: HostCapabilities,
  host: string,
): TransactionPlan {
  const { envelope, recipients } = message;
  const obstacle = "code" in result ? result : undefined;
  const encoded = "code" in result ? { ...envelope, body: message.body } : result;
  const spell = capabilities.offers("SMTPUTF8") ? (address: string) => address : asciiAddress;
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
      commands.push([`RCPT TO:<${path}>`, ...recipientParameters(recipient, capabilities)].join(" "));
    }
  }
  const utf8 = message.utf8Header || [sender, ...paths].some((path) => path !== undefined && !isAscii(path));
  const mail = [`MAIL FROM:<${sender}>`, ...mailParameters(envelope, encoded, capabilities, utf8)].join(" ");
  return { commands: { mail, recipients: commands }, carried, refused, encoded };
}

/** The message as it is sent. */
export interface EncodedMessage {
  /** Octets. */
  readonly size: number;
  readonly eightBit: boolean;
  readonly body: () => Readable;
  /** The same, where it is in memory. */
  readonly octets?: Buffer;
}

/** The message as it is, or why the host cannot take it; undefined if it has to be converted. */
function unchangedFor(
  { envelope, utf8Header, body, octets }: OutgoingMessage,
  capabilities: HostCapabilities,
  host: string,
): EncodedMessage | Reply | undefined {
  const { size, eightBit } = envelope;
  if (size > capabilities.largest) return tooLarge(size, capabilities, host);
  if (utf8Header && !capabilities.offers("SMTPUTF8")) {
    return reply(
      550,
      "5.6.9",
      `the message has UTF-8 in its header, which ${host} does not take (no SMTPUTF8)`,
    );
  }
  if (eightBit && !capabilities.offers("8BITMIME")) return undefined;
  return { size, eightBit, body, ...(octets && { octets }) };
}

/** RFC 6152 section 3: converts the message, or says why it must be returned; undefined if `signal` was raised first. */
async function inSevenBits(
  { envelope: { id }, body }: OutgoingMessage,
  capabilities: HostCapabilities,
  host: string,
  signal: AbortSignal,
): Promise<EncodedMessage | Reply | undefined> {
  const converted = await sevenBit(body, id, signal);
  if (converted === undefined) return undefined;
  if ("code" in converted) {
    const { code, status, text } = converted;
    if (code < 500) return converted;
    const why = `the message has 8-bit text, which ${host} does not take (no 8BITMIME)`;
    return reply(code, status, `${why}, and must not be converted: ${text}`);
  }
  if (converted.size > capabilities.largest) return tooLarge(converted.size, capabilities, host);
  log("converted", { id, host });
  return { ...converted, eightBit: false };
}

/** `encoded` with its DKIM signatures before it, if it gets any; the rest as in `encodedFor`. */
export async function signedFor(
  { envelope, sign }: OutgoingMessage,
  encoded: EncodedMessage,
  signal: AbortSignal,
): Promise<EncodedMessage | Reply | undefined> {
  const signed = await sign?.({ ...encoded, envelope }, signal);
  if (signed === undefined) return sign === undefined ? encoded : undefined;
  if (typeof signed !== "string") return signed;
  if (signed === "") return encoded;
  const start = Buffer.from(signed, "latin1");
  const { body, octets } = encoded;
  return {
    ...encoded,
    size: encoded.size + start.length,
    body: () => Readable.from(behind(start, body()), { objectMode: false }),
    ...(octets && { octets: Buffer.concat([start, octets]) }),
  };
}

async function* behind(start: Buffer, body: Readable): AsyncGenerator<Buffer> {
  yield start;
  for await (const chunk of body) yield chunk as Buffer;
}

/** RFC 1870 section 6.2 */
const tooLarge = (size: number, { largest }: HostCapabilities, host: string): Reply =>
  reply(552, "5.3.4", `the message has ${size} octets, ${host} takes ${largest}`);

/** The address with its domain in A-labels; undefined if the local part still needs SMTPUTF8. */
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
  capabilities: HostCapabilities,
  utf8: boolean,
): readonly string[] {
  const parameters: string[] = [];
  if (capabilities.offers("SIZE")) parameters.push(`SIZE=${size}`);
  if (eightBit) parameters.push("BODY=8BITMIME");
  if (utf8) parameters.push("SMTPUTF8");
  // RFC 8689 section 5: a report may go to a host without REQUIRETLS; session.ts refuses any other message.
  if (requireTls && capabilities.offers("REQUIRETLS")) parameters.push("REQUIRETLS");
  if (capabilities.offers("DSN")) {
    if (ret !== undefined) parameters.push(`RET=${ret}`);
    if (envid !== undefined) parameters.push(`ENVID=${encodeXtext(envid)}`);
  }
  return parameters;
}

/** RFC 3461 section 5.2.1: passed on unchanged; where none came, none is sent. */
function recipientParameters(
  { notify, orcpt }: Recipient,
  capabilities: HostCapabilities,
): readonly string[] {
  if (!capabilities.offers("DSN")) return [];
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
