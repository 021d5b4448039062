/**
 * What a submission server changes in a header (RFC 6409 section 8). Bcc is removed, and what belongs to another transport.
 * A missing Date and Message-ID are added, an invalid one is replaced. Additions go on top, with our Received field.
 * Nothing else is changed, and nothing that is signed, so that signatures stay valid.
 */

import { isIPv6 } from "node:net";
import { formatDate } from "../../../smtp/date.ts";
import { fieldBody, type HeaderField, isNamed } from "../../../smtp/header.ts";
import { isMessageId } from "../../../smtp/message-id.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import { hops } from "../client-limits.ts";

/** The values for fields that are added. */
export interface FixupValues {
  readonly hostname: string;
  readonly id: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

export interface FixedHeader {
  /** Fields to add on top, each with its line end. */
  readonly added: string;
  /** The client's own fields, one character an octet ("latin1"). */
  readonly kept: string;
  /** Without angle brackets, for the log. */
  readonly messageId: string;
}

/** Fields with recipients whom the others must not see (RFC 5322 sections 3.6.3 and 3.6.6). */
const blindFields = ["Bcc", "Resent-Bcc"];

/** The last server adds Return-Path (RFC 5321 section 4.4). Content-Length is a mailbox's, and wrong by now. */
const transportFields = ["Return-Path", "Content-Length"];

/**
 * Fixes a header of these `fields`. A line that is no field is refused (RFC 5322 section 2.2). So is a message without
 * From: author.ts has completed it before if it could.
 */
export function fixHeader(
  fields: readonly HeaderField[],
  { hostname, id, time }: FixupValues,
): FixedHeader | Reply {
  const find = (name: string): HeaderField | undefined => fields.find((field) => isNamed(field, name));
  const stray = fields.findIndex(({ name }) => name === "");
  if (stray >= 0) return reply(554, "5.6.0", noField(fields.slice(0, stray)));
  if (!find("From")) return reply(554, "5.6.0", "The message has no From field; no mail without an author");
  if (fields.filter((field) => isNamed(field, "Received")).length >= hops) {
    return reply(554, "5.4.6", `The message has been through ${hops} servers, this is a loop`);
  }
  const isSigned = signedFields(fields);
  const isKept = (field: HeaderField): boolean =>
    !blindFields.some((name) => isNamed(field, name)) && (isSigned(field.name) || !isDropped(field));
  const kept = fields.filter(isKept);
  const lacks = (name: string): boolean => !kept.some((field) => isNamed(field, name));
  const given = kept.find((field) => isNamed(field, "Message-ID"));
  const messageId = given ? fieldBody(given).replace(/^<|>$/g, "") : `${timestamp(time)}.${id}@${hostname}`;
  return {
    added: [
      ...(!lacks("Date") ? [] : [`Date: ${formatDate(time)}\r\n`]),
      ...(given ? [] : [`Message-ID: <${messageId}>\r\n`]),
    ].join(""),
    kept: kept.map(({ raw }) => raw).join(""),
    messageId: messageId.slice(0, 250), // RFC 5322 section 2.1.1 allows a line 998, a log line is read by people
  };
}

/** Whether a field is worthless or must go. */
function isDropped(field: HeaderField): boolean {
  if (isNamed(field, "Message-ID")) return !isMessageId(fieldBody(field));
  if (isNamed(field, "Date")) return fieldBody(field) === "";
  return transportFields.some((name) => isNamed(field, name));
}

/** Some readers end the header at such a line, others ignore it: they would show two different messages. */
function noField(before: readonly HeaderField[]): string {
  const line = before
    .map(({ raw }) => raw)
    .join("")
    .split("\r\n").length;
  return `Line ${line} of the message is no header field; an empty line must stand before the text`;
}

/** `20261122130246`, as Postfix begins its message IDs. */
const timestamp = (time: number): string => new Date(time).toISOString().replace(/\D/g, "").slice(0, 14);

/**
 * Signatures of header fields, which their tag `h` names (RFC 6376 section 3.5, RFC 8617 section 4.1.2, RFC 4870 section
 * 3.3). S/MIME and PGP/MIME sign parts of the body and no field of the message (RFC 1847).
 */
const signatures = ["DKIM-Signature", "ARC-Message-Signature", "DomainKey-Signature"];

/** Tells whether a signature among `fields` covers the field of a name. A signature without `h` covers all. */
export function signedFields(fields: readonly HeaderField[]): (name: string) => boolean {
  const signing = fields.filter((field) => signatures.some((name) => isNamed(field, name)));
  if (signing.length === 0) return () => false;
  const covered = new Set<string>();
  let all = false;
  for (const field of signing) {
    const names = fieldBody(field)
      .split(";")
      .map((tag) => tag.trim())
      .find((tag) => /^h\s*=/.test(tag));
    if (names === undefined) all = true;
    else {
      const list = names.slice(names.indexOf("=") + 1).split(":");
      for (const name of list) covered.add(name.trim().toLowerCase());
    }
  }
  return (name) => all || covered.has(name.toLowerCase());
}

/** What our trace field tells (RFC 5321 section 4.4). */
export interface ReceivedInfo {
  readonly hostname: string;
  /** The client, where the site wants everybody to see it. */
  readonly client?: { readonly helo: string; readonly address: string } | undefined;
  /** IANA's name of the TLS cipher; undefined where the message came from within this host. */
  readonly cipher: string | undefined;
  readonly smtputf8: boolean;
  readonly id: string;
  /** The only recipient. Several would learn of each other (RFC 5321 section 7.2). */
  readonly recipient?: string | undefined;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/** The whole Received field with its line ends. */
export function receivedField({
  hostname,
  client,
  cipher,
  smtputf8,
  id,
  recipient,
  time,
}: ReceivedInfo): string {
  const secured = cipher === undefined ? "" : "S";
  const protocol = smtputf8 ? `UTF8SMTP${secured}A` : `ESMTP${secured}A`; // RFC 3848, RFC 6531 section 4.3
  const only = recipient === undefined ? "" : ` for <${recipient}>`;
  const tls = cipher === undefined ? "" : `\r\n\ttls ${cipher}`; // RFC 8314 section 4.3
  return (
    `Received: from ${client ? clientText(client) : "authenticated-user"} by ${hostname}\r\n` +
    `\twith ${protocol} id ${id}${only}${tls};${tls === "" ? "\r\n\t" : " "}${formatDate(time)}\r\n`
  );
}

function clientText({ helo, address }: { readonly helo: string; readonly address: string }): string {
  const name = /^(?:[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\])$/.test(helo) ? helo : "unknown";
  return `${name} ([${isIPv6(address) ? "IPv6:" : ""}${address}])`;
}
