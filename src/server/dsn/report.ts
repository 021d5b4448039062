/**
 * The message that tells a sender what became of another one: multipart/report with a part for people, a part
 * for programs (RFC 3464, RFC 6533), and the original or its header (RFC 6522). A pure function writes it; the reporter
 * below brings it to the spool. Servers' words and addresses come from strangers: none of their control characters survives,
 * and the boundary cannot stand in any part.
 */
import { createHash } from "node:crypto";
import { isAscii } from "../../smtp/address.ts";
import { formatDate } from "../../smtp/date.ts";
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../smtp/header.ts";
import { decodeWords, harmless, quotedPrintable } from "../../smtp/mime-text.ts";
import { asciiAddress } from "../delivery/message/outgoing-message.ts";
import { workOnMessage } from "../log/event-loop.ts";
import { log } from "../log/log.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { Spool } from "../spool/spool.ts";
import { explanation, type ReportContact, type ReportContent, subjectOf } from "./explanation.ts";
import { statusFields } from "./status-fields.ts";

export interface ReportOptions {
  /** Our name. */
  readonly hostname: string;
  /** The report's own, without angle brackets. */
  readonly messageId: string;
  /** When it is written and until when delivery of the original is tried, in milliseconds since the epoch. */
  readonly now: number;
  readonly until: number;
  readonly contact?: ReportContact | undefined;
}

/** Our choice, and Postfix's bounce_size_limit: a larger message comes back as its header. */
const largestReturned = 50_000;
const largestHeader = 100_000;

/** How much of the original, from its start, {@link writeReport} wants to see, in octets. */
export const octetsWanted = largestHeader;

/** The report as a message. `start` is the original's beginning, {@link octetsWanted} or all of it. */
export function writeReport(
  occasion: ReportContent,
  envelope: Envelope,
  start: Buffer,
  frame: ReportOptions,
): Buffer {
  const { hostname, now, until, contact } = frame;
  const header = start.subarray(0, bodyOffset(start) ?? start.length);
  const subject = bodyOf("Subject", header);
  const original = {
    messageId: bodyOf("Message-ID", header),
    subject: subject === undefined ? undefined : decodeWords(subject),
  };
  const parts = [
    textPart(explanation(occasion, envelope, original, hostname, until, contact)),
    statusPart(statusFields(occasion.recipients, envelope, hostname, until)),
    returned(occasion, envelope, start, header),
  ];
  const content = Buffer.concat(parts);
  const boundary = boundaryFor(content);
  const encoding = isSevenBit(content) ? "7bit" : "8bit";
  const lines = [
    `Date: ${formatDate(now)}`,
    `From: Mail Delivery System <MAILER-DAEMON@${hostname}>`,
    `To: <${harmless(asciiAddress(envelope.sender) ?? envelope.sender)}>`,
    ...(contact === undefined || contact.postmaster === "" ? [] : [`Reply-To: <${contact.postmaster}>`]),
    `Subject: ${subjectOf(occasion.kind)}`,
    `Message-ID: <${frame.messageId}>`,
    ...references(original.messageId),
    "Auto-Submitted: auto-replied", // RFC 3834 section 5
    "MIME-Version: 1.0",
    `Content-Type: multipart/report; report-type=delivery-status;\r\n boundary="${boundary}"`,
    `Content-Transfer-Encoding: ${encoding}`,
    "",
    "This is a report in MIME form (RFC 3464).",
    "",
  ];
  const delimiter = Buffer.from(`--${boundary}\r\n`);
  return Buffer.concat([
    Buffer.from(lines.join("\r\n")),
    ...parts.flatMap((one) => [delimiter, one, Buffer.from("\r\n")]),
    Buffer.from(`--${boundary}--\r\n`),
  ]);
}

function textPart(text: string): Buffer {
  return isAscii(text)
    ? part("text/plain; charset=us-ascii", text.replaceAll("\n", "\r\n"))
    : part("text/plain; charset=utf-8", quotedPrintable(text), "quoted-printable");
}

/** RFC 6533 section 4: another type where there is UTF-8, so that who reads RFC 3464 only is not surprised. */
const statusPart = (fields: string): Buffer =>
  part(isAscii(fields) ? "message/delivery-status" : "message/global-delivery-status", fields);

function part(type: string, content: string | Buffer, encoding?: string): Buffer {
  const body = Buffer.from(content);
  const named = encoding ?? (isSevenBit(body) ? "7bit" : "8bit");
  return Buffer.concat([
    Buffer.from(`Content-Type: ${type}\r\nContent-Transfer-Encoding: ${named}\r\n\r\n`),
    body,
  ]);
}

/** RFC 3461 section 6.2: RET is about failures; the whole message never comes back when it is large. */
function returned(
  { kind }: ReportContent,
  { ret, size, smtputf8, requireTls }: Envelope,
  start: Buffer,
  header: Buffer,
): Buffer {
  const utf8 = smtputf8 && !isSevenBit(header);
  // RFC 8689 section 5: nothing but the header of a message that was bound to TLS.
  if (kind === "failure" && ret !== "HDRS" && !requireTls && size <= largestReturned) {
    return part(utf8 ? "message/global" : "message/rfc822", start); // RFC 6533 section 6.1
  }
  return part(utf8 ? "message/global-headers" : "text/rfc822-headers", header);
}

/** A line that none of the parts has: it depends on all of them, so nobody can have foreseen it. */
function boundaryFor(content: Buffer): string {
  for (let attempt = 0; ; attempt++) {
    const digest = createHash("sha256").update(`${attempt}:`).update(content).digest("hex");
    const boundary = `=_${digest.slice(0, 40)}`; // "=_" occurs in no base64 and no quoted-printable
    if (!content.includes(boundary)) return boundary;
  }
}

const isSevenBit = (octets: Uint8Array): boolean => octets.every((octet) => octet < 0x80);

/** The first field of that name; undefined where there is none. */
function bodyOf(name: string, header: Buffer): string | undefined {
  const field = splitFields(header.toString("latin1")).find((one) => isNamed(one, name));
  return field && Buffer.from(fieldBody(field), "latin1").toString("utf8");
}

/**
 * So that the report stands beside the message; people's programs write all sorts of things as Message-ID.
 */
function references(messageId: string | undefined): readonly string[] {
  if (messageId === undefined || !/^<[!-;=?-~]{1,250}>$/.test(messageId)) return [];
  return [`In-Reply-To: ${messageId}`, `References: ${messageId}`];
}

// The reporter brings reports to the spool, which takes them like any message.

const eventFor = { failure: "failure-report", delay: "delay-report", success: "success-report" } as const;

/**
 * Tells the sender of `envelope` what `occasion` says; the report's envelope when it is durable in the spool.
 * Throws the system's error where the spool cannot be read or written. `until` as in the report's frame.
 */
export type Reporter = (occasion: ReportContent, envelope: Envelope, until: number) => Promise<Envelope>;

/** Whom the sender of a message can ask, by the login that submitted it; undefined where nobody is named. */
export type ContactOf = (login: string | null) => ReportContact | undefined;

/** A reporter for the host `hostname`; `now` is in milliseconds since the epoch. */
export function newReporter(
  spool: Spool,
  hostname: string,
  now: () => number,
  contactOf: ContactOf = () => undefined,
): Reporter {
  return async (occasion, envelope, until) =>
    enterReport(
      spool,
      { occasion, envelope, start: await spool.bodyStart(envelope.id, octetsWanted) },
      { hostname, until, now, contactOf },
    );
}

/** A report that is to be written. */
export interface ReportMatter {
  readonly occasion: ReportContent;
  /** Of the message that it is about, which need not be in the spool. */
  readonly envelope: Envelope;
  /** The beginning of that, {@link octetsWanted} or all of it. */
  readonly start: Buffer;
}

/** Who tells it, and until when delivery of the original is tried, in milliseconds since the epoch. */
export interface ReportFrom {
  readonly hostname: string;
  readonly until: number;
  readonly now: () => number;
  readonly contactOf: ContactOf;
}

/** Writes a report into the spool. Gives its envelope; throws the system's error. */
export async function enterReport(
  spool: Pick<Spool, "draft">,
  { occasion, envelope, start }: ReportMatter,
  { hostname, until, now, contactOf }: ReportFrom,
): Promise<Envelope> {
  const draft = await spool.draft();
  const messageId = `${draft.id}.${now().toString(36)}@${hostname}`;
  try {
    const frame = { hostname, messageId, now: now(), until, contact: contactOf(envelope.login) };
    const message = workOnMessage(envelope.id, () => writeReport(occasion, envelope, start, frame));
    await draft.write(message);
    const accepted = await draft.accept({
      accepted: now(),
      login: null,
      sender: "",
      eightBit: message.some((octet) => octet > 0x7f),
      smtputf8: asciiAddress(envelope.sender) === undefined,
      ...(envelope.requireTls && { requireTls: true }), // RFC 8689 section 5
      // RFC 3461 section 6.1
      recipients: [{ address: envelope.sender, state: "waiting", notify: ["NEVER"] }],
      attempts: 0,
      due: now(),
      warned: false,
    });
    log("message-id", { id: draft.id, messageId });
    log("queued", { id: draft.id, from: "", size: accepted.size, recipients: 1 });
    log(eventFor[occasion.kind], { id: envelope.id, report: draft.id });
    return accepted;
  } catch (error) {
    await draft.discard().catch(() => undefined); // the spool's own trouble is told by `error`
    throw error;
  }
}
