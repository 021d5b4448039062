/**
 * The part of a report that people read: what happened, to whom, what the other side said, what to do,
 * whether we still try.
 */
import { formatDate } from "../../smtp/date.ts";
import { explainReply } from "../../smtp/known-replies/explain.ts";
import { senderText } from "../../smtp/known-replies/row.ts";
import { harmless, wrapped } from "../../smtp/mime-text.ts";
import { formatReply } from "../../smtp/reply.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import type { ReportedRecipient } from "./status-fields.ts";

/** What a report tells. */
export interface ReportContent {
  readonly kind: "failure" | "delay" | "success";
  readonly recipients: readonly ReportedRecipient[];
}

/** Whom the sender can ask; each may be "". */
export interface ReportContact {
  /** A page or an address. */
  readonly help: string;
  /** The address that answers to the report go to. */
  readonly postmaster: string;
}

/** What is known of the original's header; undefined where it has no such field. */
export interface Original {
  readonly messageId: string | undefined;
  readonly subject: string | undefined;
}

interface ReportTexts {
  /** Of the report itself. */
  readonly subject: string;
  /** Goes on after the message was named. */
  readonly outcome: string;
  readonly closing: (until: number) => string;
}

const wordsFor: { readonly [Kind in ReportContent["kind"]]: ReportTexts } = {
  failure: {
    subject: "Your message could not be delivered",
    outcome: "could not be delivered to:",
    closing: () =>
      "We have stopped trying. If the message still matters, send it again when the cause is mended. " +
      "Other recipients, if there were any, are not affected.",
  },
  delay: {
    subject: "Your message is late, we keep trying",
    outcome: "could not yet be delivered to:",
    closing: (until) =>
      `You need not do anything: we keep trying until ${formatDate(until)} and will tell you if we give up. ` +
      "Please do not send the message again, it would arrive twice.",
  },
  success: {
    subject: "Your message was handed over",
    outcome: "was handed over for:",
    closing: () => "You had asked to be told.",
  },
};

/** RFC 8689 section 4.2.1. */
const protectedOnly =
  "You asked for protection all the way, which the other side does not have. Send the message without that wish.";

/**
 * What a person can do about a status (RFC 3463), where the words of the reply are not known ones: the first row that it
 * begins with. Some rows are about words of the
 * other side only: ours, above all an operator's, may have the same status.
 */
const advice: readonly (readonly [status: string, text: string, whose?: "theirs"])[] = [
  ["5.1.1", "There is no such mailbox. Check the address for typing mistakes."],
  ["5.1.2", "There is no such domain. Check what stands behind the @ for typing mistakes."],
  ["5.1.10", "The domain takes no mail at all. Ask the recipient for another address."],
  ["5.1", "Check the address for typing mistakes."],
  ["5.2.2", "The mailbox is full. Tell the recipient in another way, and send the message again later."],
  ["5.2.3", "The message is too large for the mailbox. Send a link in place of attachments."],
  ["5.2", "The mailbox takes no mail. Ask the recipient for another address."],
  ["5.3.4", "The message is too large for the other side. Send a link in place of attachments."],
  ["5.4.6", "The domain is set up wrongly. Tell the recipient in another way; it is theirs to mend."],
  ["5.4", "The domain's mail servers cannot be reached. Tell the recipient in another way."],
  ["5.6.3", "The other side takes plain English letters only. Send the message without any others."],
  [
    "5.6.7",
    "The other side takes plain English letters only in addresses. Ask the recipient for another one.",
  ],
  ["5.6", "The other side cannot take a message of this form. Send it in a simpler one."],
  ["5.7.10", protectedOnly],
  ["5.7.30", protectedOnly],
  [
    "5.7",
    "The other side does not want this message. Its words may say why; your postmaster can help.",
    "theirs",
  ],
  ["5", "The words above are all that we know. Your postmaster can help with them."],
  ["4.2.2", "The mailbox is full."],
  ["4.4", "The other side's mail server cannot be reached."],
  ["4.7.1", "Some servers take mail from somebody they do not know only at a later try."],
];

export const subjectOf = (kind: ReportContent["kind"]): string => wordsFor[kind].subject;

/** The text, lines ended by LF, possibly with UTF-8. `until`: when we give up, milliseconds since the epoch. */
export function explanation(
  { kind, recipients: told }: ReportContent,
  envelope: Envelope,
  { subject, messageId }: Original,
  hostname: string,
  until: number,
  contact?: ReportContact,
): string {
  const words = wordsFor[kind];
  const patience = lasting(until - envelope.accepted);
  return [
    `This is the mail server ${hostname}. Your message`,
    "",
    ...(subject === undefined ? [] : [line("Subject:   ", subject)]),
    line("Date:      ", formatDate(envelope.accepted)),
    ...(messageId === undefined ? [] : [line("Message-ID:", messageId)]),
    "",
    words.outcome,
    "",
    ...told.flatMap((one) => [`    ${harmless(one.recipient.address)}`, ...fate(one, patience), ""]),
    wrapped(words.closing(until), ""),
    "",
    ...helpLines(envelope.id, contact),
    "",
  ].join("\n");
}

/** Whom to ask, and what to tell there. */
function helpLines(id: string, contact?: ReportContact): readonly string[] {
  const { help = "", postmaster = "" } = contact ?? {};
  const whom = postmaster === "" ? "your postmaster" : postmaster;
  return [
    `If you need help, give ${whom} this number: ${id}`,
    ...(help === "" ? [] : [`You may find help here: ${help}`]),
  ];
}

const line = (name: string, value: string): string => `    ${name} ${harmless(value).slice(0, 500)}`;

function fate({ recipient, action, copies = 0 }: ReportedRecipient, patience: string): readonly string[] {
  const { reply, state } = recipient;
  if (action === "delivered") return ["        It is in the mailbox."];
  if (action === "relayed") {
    const host = reply === undefined ? "the next server" : hostOf(reply.relay);
    return [
      wrapped(
        `${host} has taken it. That server does not report back: this is all you will hear.`,
        "        ",
      ),
    ];
  }
  const known = reply && explainReply(reply, reply.relay);
  const hint = known ? senderText(known, action === "failed") : adviceFor(reply);
  return [
    ...(state === "expired" ? [`        We have tried for ${patience}, without success.`] : []),
    ...lastWords(recipient),
    ...(hint === undefined ? [] : [wrapped(hint, "        ")]),
    ...(copies > 0 ? [wrapped(doubt(copies), "        ")] : []),
  ];
}

function adviceFor(reply: Recipient["reply"]): string | undefined {
  const status = `${reply?.status ?? ""}.`;
  const ours = reply === undefined || reply.relay === "none";
  return advice.find(([start, , whose]) => status.startsWith(`${start}.`) && !(ours && whose))?.[1];
}

const doubt = (copies: number): string =>
  `The other side had the whole message ${copies === 1 ? "once" : `${copies} times`} and then broke off without an ` +
  "answer: the recipient may have it already, as often.";

function lastWords({ reply }: Recipient): readonly string[] {
  if (reply === undefined) return [];
  if (reply.relay === "none") return [wrapped(`What happened: ${harmless(reply.text)}`, "        ")];
  return [
    wrapped(`${hostOf(reply.relay)} said, in reply to ${reply.command}:`, "        "),
    wrapped(harmless(formatReply(reply)), "            "),
  ];
}

const hostOf = (relay: string): string => harmless(relay.replace(/:\d+$/, ""));

/** "5 days": the largest unit of which there are at least two. */
function lasting(milliseconds: number): string {
  const units = [
    ["days", 86_400_000],
    ["hours", 3_600_000],
    ["minutes", 60_000],
  ] as const;
  const [name, length] = units.find(([, one]) => milliseconds >= 2 * one) ?? ["seconds", 1000];
  return `${Math.round(milliseconds / length)} ${name}`;
}
