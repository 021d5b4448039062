/**
 * One message on its way to one destination, and what came of it. What a next hop cannot carry is found out
 * here, from the extensions it offers, before a command is sent; nothing is ever altered to fit.
 */
import type { Readable } from "node:stream";
import { asciiDomain, domainOf, isAscii } from "../../smtp/address.ts";
import { type Reply, reply } from "../../smtp/reply.ts";
import { encodeXtext } from "../../smtp/xtext.ts";
import type { Envelope, LastReply, Recipient } from "../spool/envelope.ts";
import type { Commands, Extension } from "./wire.ts";

export interface Letter {
  readonly envelope: Envelope;
  /** Those of the envelope's recipients that it shall go to now. */
  readonly recipients: readonly Recipient[];
  /** RFC 6532: the header has UTF-8 in it, and the client asked for SMTPUTF8. */
  readonly utf8Header: boolean;
  /** The message as stored, CRLF line ends; each call reads it anew. */
  readonly body: () => Readable;
}

/** What became of one recipient in one attempt. */
export interface Outcome {
  readonly recipient: Recipient;
  readonly reply: LastReply;
  /**
   * Of a positive reply: `delivered` into a mailbox, `relayed` to a host that does not tell the sender more,
   * or taken `onward` by one that promised to, with DSN (RFC 3461 section 5.2.1).
   */
  readonly taken?: "delivered" | "relayed" | "onward";
  /** Milliseconds from the moment that the next hop was ready for commands to its answer. */
  readonly transmitting: number;
}

/** What the next hop said in answer to EHLO. */
export interface Offer {
  offers(extension: Extension): boolean;
  /** Octets. */
  readonly largest: number;
}

export interface Plan {
  /** For `carried`, in the same order. */
  readonly commands: Commands;
  readonly carried: readonly Recipient[];
  readonly refused: readonly { readonly recipient: Recipient; readonly reply: Reply }[];
}

/** The commands that carry `letter` to a host with this `offer`, and the recipients that it cannot serve. */
export function planFor(letter: Letter, offer: Offer, host: string): Plan {
  const { envelope, recipients } = letter;
  const obstacle = obstacleTo(letter, offer, host);
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
  const mail = [`MAIL FROM:<${sender}>`, ...mailParameters(envelope, offer, utf8)].join(" ");
  return { commands: { mail, recipients: commands }, carried, refused };
}

/** Why the host cannot have the message at all. */
function obstacleTo({ envelope, utf8Header }: Letter, offer: Offer, host: string): Reply | undefined {
  if (envelope.size > offer.largest) {
    // RFC 1870 section 6.2
    return reply(552, "5.3.4", `the message has ${envelope.size} octets, ${host} takes ${offer.largest}`);
  }
  if (envelope.eightBit && !offer.offers("8BITMIME")) {
    // RFC 6152 section 3: convert or return; converting would break signatures.
    return reply(554, "5.6.3", `the message has 8-bit text, which ${host} does not take (no 8BITMIME)`);
  }
  if (utf8Header && !offer.offers("SMTPUTF8")) {
    return reply(
      550,
      "5.6.9",
      `the message has UTF-8 in its header, which ${host} does not take (no SMTPUTF8)`,
    );
  }
  return undefined;
}

/** The address with its domain in A-labels; undefined where the local part needs SMTPUTF8 all the same. */
export function asciiAddress(address: string): string | undefined {
  if (isAscii(address)) return address;
  const domain = domainOf(address);
  const local = address.slice(0, address.length - domain.length);
  const ascii = asciiDomain(domain);
  return isAscii(local) && ascii !== undefined ? `${local}${ascii}` : undefined;
}

function mailParameters(envelope: Envelope, offer: Offer, utf8: boolean): readonly string[] {
  const { size, eightBit, ret, envid } = envelope;
  const parameters: string[] = [];
  if (offer.offers("SIZE")) parameters.push(`SIZE=${size}`);
  if (eightBit) parameters.push("BODY=8BITMIME");
  if (utf8) parameters.push("SMTPUTF8");
  if (offer.offers("DSN")) {
    if (ret !== undefined) parameters.push(`RET=${ret}`);
    if (envid !== undefined) parameters.push(`ENVID=${encodeXtext(envid)}`);
  }
  return parameters;
}

/** RFC 3461 section 5.2.1: passed on as they came, and where none came none is sent. */
function recipientParameters({ notify, orcpt }: Recipient, offer: Offer): readonly string[] {
  if (!offer.offers("DSN")) return [];
  const parameters: string[] = [];
  if (notify !== undefined) parameters.push(`NOTIFY=${notify.join(",")}`);
  if (orcpt !== undefined) {
    const [type = "", ...value] = orcpt.split(";");
    parameters.push(`ORCPT=${type};${encodeXtext(value.join(";"))}`);
  }
  return parameters;
}
