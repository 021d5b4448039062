/** Messages as rows of the table that people read. */
import type { Column } from "../../cli/table.ts";
import type { Queued, Unreadable } from "../../server/control/order.ts";
import type { Envelope, Recipient } from "../../server/spool/envelope.ts";
import { formatReply } from "../../smtp/reply.ts";

export const columns: readonly Column[] = [
  { title: "ID" },
  { title: "STATUS" },
  { title: "AGE", align: "right" },
  { title: "SIZE", align: "right", yields: 3 },
  { title: "TRIES", align: "right", yields: 1 },
  { title: "LOGIN", least: 6, yields: 2 },
  { title: "SENDER", least: 12, yields: 4 },
  { title: "RECIPIENTS", least: 14 },
  { title: "WHY", least: 14 },
];

/** `now` is in milliseconds since the epoch; `brief` names one recipient where there are many. */
export function rowOf(message: Queued | Unreadable, now: number, brief: boolean): readonly string[] {
  if (message.status === "damaged") return [message.id, "damaged", "", "", "", "", "", "", message.reason];
  const { id, status, envelope } = message;
  const { accepted, size, attempts, login, sender } = envelope;
  const waiting = waitingOf(envelope).map(({ address }) => address);
  const [first = "", ...others] = waiting;
  const recipients = brief && others.length > 0 ? `${first} +${others.length}` : waiting.join(",");
  return [
    id,
    status,
    ageText(now - accepted),
    sizeText(size),
    String(attempts),
    login ?? "-",
    sender === "" ? "<>" : sender,
    recipients,
    whyOf(envelope),
  ];
}

export const waitingOf = ({ recipients }: Envelope): readonly Recipient[] =>
  recipients.filter(({ state }) => state === "waiting");

/** Why it is still here, as far as that is known. */
function whyOf({ held, recipients }: Envelope): string {
  if (held) return held.reason === "" ? `held by ${held.by}` : held.reason;
  const said = recipients.find(({ state, reply }) => state === "waiting" && reply !== undefined)?.reply;
  return said === undefined ? "" : formatReply(said);
}

const spans = [
  [86_400_000, "d"],
  [3_600_000, "h"],
  [60_000, "m"],
  [1000, "s"],
] as const;

/** "3h": whole units of the largest that fits. */
export function ageText(milliseconds: number): string {
  const [length, unit] = spans.find(([one]) => milliseconds >= one) ?? [1000, "s"];
  return `${Math.max(0, Math.floor(milliseconds / length))}${unit}`;
}

/** "12K": octets in powers of 1024. */
export function sizeText(octets: number): string {
  if (octets < 1024) return String(octets);
  const power = Math.min(3, Math.floor(Math.log2(octets) / 10));
  const size = octets / 1024 ** power;
  return `${size < 10 ? size.toFixed(1) : size.toFixed(0)}${["", "K", "M", "G"][power] ?? ""}`;
}

export const plural = (count: number, one: string): string => `${count} ${one}${count === 1 ? "" : "s"}`;
