/**
 * The part of a report that people read: what happened, to whom, what the other side said, what to do,
 * whether we still try.
 */
import { formatDate } from "../../smtp/date.ts";
import { formatReply } from "../../smtp/reply.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import { harmless, wrapped } from "./prose.ts";
import type { Occasion, Told } from "./report.ts";

interface Words {
  readonly subject: string;
  /** Completes "Your message of DATE …". */
  readonly outcome: string;
  readonly closing: (until: number) => string;
}

const wordsFor: { readonly [Kind in Occasion["kind"]]: Words } = {
  failure: {
    subject: "Your message could not be delivered",
    outcome: "could not be delivered to:",
    closing: () =>
      "We do not try these addresses any more. If the message still matters, send it again when the cause is mended. Other recipients, if there were any, are not affected.",
  },
  delay: {
    subject: "Your message is late, we keep trying",
    outcome: "could not yet be delivered to:",
    closing: (until) =>
      `You need not do anything: we keep trying until ${formatDate(until)} and tell you if we give up. Please do not send the message again, it would arrive twice.`,
  },
  success: {
    subject: "Your message was delivered",
    outcome: "was handed over for:",
    closing: () => "You asked to be told. Nothing more will be reported about these addresses.",
  },
};

/** What a person can do about a status (RFC 3463); the first prefix that fits. */
const advice: readonly (readonly [prefix: string, text: string])[] = [
  ["5.1.1", "There is no such mailbox. Check the address for typing mistakes."],
  ["5.1.2", "There is no such domain. Check what stands behind the @ for typing mistakes."],
  ["5.1.10", "The domain takes no mail at all. Ask the recipient for another address."],
  ["5.1", "Check the address for typing mistakes."],
  ["5.2.2", "The mailbox is full. Tell the recipient in another way, and send the message again later."],
  ["4.2.2", "The mailbox is full."],
  ["5.2.3", "The message is too large for this mailbox. Send a link in place of attachments."],
  ["5.3.4", "The message is too large for the other side. Send a link in place of attachments."],
  ["5.2", "The mailbox takes no mail. Ask the recipient for another address."],
  ["5.4.6", "The domain's entries in the DNS are wrong. Tell the recipient, or their postmaster."],
  ["5.4", "The domain's mail servers cannot be reached. Tell the recipient in another way."],
  ["5.6.3", "The other side is too old for letters such as \u00e4 or \u20ac. Send the message without them."],
  ["5.6", "The other side cannot take a message of this form. Send it in a simpler one."],
  ["5.7", "The other side does not want this message. Its words may tell why; else ask your postmaster."],
  ["4.4.1", "The other side's mail server does not answer."],
  ["4.4", "The other side's mail server cannot be reached."],
  [
    "4.7.1",
    "The other side wants to see us try again before it takes mail, or takes only so much at a time.",
  ],
  ["5", "The words of the other side are all we know. Your postmaster can help with them."],
];

export const subjectOf = (kind: Occasion["kind"]): string => wordsFor[kind].subject;

/** The text, lines ended by LF, possibly with UTF-8. `until` is when we give up. */
export function explanation(
  { kind, told }: Occasion,
  envelope: Envelope,
  messageId: string | undefined,
  hostname: string,
  until: number,
): string {
  const words = wordsFor[kind];
  return [
    wrapped(`This is the mail server ${hostname}. Your message of`, ""),
    "",
    `    ${formatDate(envelope.accepted)}`,
    ...(messageId === undefined ? [] : [`    Message-ID: ${harmless(messageId)}`]),
    "",
    words.outcome,
    "",
    ...told.flatMap((one) => [...paragraph(one), ""]),
    wrapped(words.closing(until), ""),
    "",
    wrapped(`If you need help, give your postmaster this number: ${envelope.id}`, ""),
    "",
  ].join("\n");
}

function paragraph({ recipient, action }: Told): readonly string[] {
  const { address, reply } = recipient;
  if (action === "relayed") {
    const where = reply === undefined ? "" : ` by ${hostOf(reply.relay)}`;
    return [
      `  <${harmless(address)}>`,
      wrapped(`Taken${where}, which does not confirm delivery: this is all you will hear.`, "    "),
    ];
  }
  if (action === "delivered") return [`  <${harmless(address)}>`, "    Delivered."];
  const hint = advice.find(([prefix]) => `${reply?.status ?? ""}.`.startsWith(`${prefix}.`))?.[1];
  return [
    `  <${harmless(address)}>`,
    ...lastWords(recipient),
    ...(hint === undefined ? [] : [wrapped(hint, "    ")]),
  ];
}

function lastWords({ reply, state }: Recipient): readonly string[] {
  const long = state === "expired" ? ["    We have tried for as long as we try."] : [];
  if (reply === undefined) return long;
  if (reply.relay === "none") return [...long, wrapped(`${harmless(reply.text)}.`, "    ")];
  const question = reply.command === "" ? "" : `, in reply to ${reply.command}`;
  return [
    ...long,
    wrapped(`${hostOf(reply.relay)} said${question}:`, "    "),
    wrapped(harmless(formatReply(reply)), "      "),
  ];
}

const hostOf = (relay: string): string => harmless(relay.replace(/:\d+$/, ""));
