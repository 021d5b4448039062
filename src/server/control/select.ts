/** Which messages a filter means. Pure. */
import { asciiDomain, domainOf } from "../../smtp/address.ts";
import { formatReply } from "../../smtp/reply.ts";
import type { Envelope, Recipient } from "../spool/envelope.ts";
import type { Filter, Queued, Status } from "./order.ts";

/** How the message of `envelope` stands. */
export function statusOf({ held, attempts, recipients }: Envelope, isActive: boolean): Queued["status"] {
  if (isActive) return "active";
  if (held !== undefined) return "held";
  // No attempt is counted where the destination could not be reached a moment ago, but there is a reply.
  return attempts === 0 && recipients.every(({ reply }) => reply === undefined) ? "waiting" : "deferred";
}

/** Whether `filter` means the message; `now` is in milliseconds since the epoch. */
export function matches(filter: Filter, { status, envelope }: Queued, now: number): boolean {
  const { login, sender, accepted, recipients } = envelope;
  const waiting = recipients.filter(({ state }) => state === "waiting");
  return (
    fits(filter.user, (user) => login !== null && isSame(user, login)) &&
    fits(filter.sender, (wanted) => isLike(wanted.replace(/^<(.*)>$/, "$1"), sender)) &&
    fits(filter.recipient, (wanted) => waiting.some(({ address }) => isLike(wanted, address))) &&
    fits(filter.domain, (wanted) =>
      waiting.some(({ address }) => domain(domainOf(address)) === domain(wanted)),
    ) &&
    fits(filter.olderThan, (age) => now - accepted > age) &&
    fits(filter.status, (wanted) => (wanted === "late" ? envelope.warned : wanted === status)) &&
    fits(filter.error, (words) =>
      waiting.some((recipient) => saidAbout(recipient).includes(words.toLowerCase())),
    )
  );
}

/** Whether a filter means what cannot be read: only where it asks for nothing else. */
export const meansDamaged = ({ status, ...others }: Filter): boolean =>
  (status === undefined || status === ("damaged" satisfies Status)) &&
  Object.values(others).every((value) => value === undefined);

function fits<Value>(wanted: Value | undefined, test: (wanted: Value) => boolean): boolean {
  return wanted === undefined || test(wanted);
}

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

const domain = (name: string): string => asciiDomain(name) ?? name.toLowerCase();

const saidAbout = ({ reply }: Recipient): string =>
  reply === undefined ? "" : `${reply.relay} ${formatReply(reply)} ${reply.command}`.toLowerCase();

/** `*` stands for any characters. */
function isLike(pattern: string, address: string): boolean {
  if (!pattern.includes("*")) return isSame(pattern, address);
  const text = address.toLowerCase();
  const [start = "", ...others] = pattern.toLowerCase().split("*");
  const end = others.pop() ?? "";
  if (!text.startsWith(start) || !text.endsWith(end) || text.length < start.length + end.length) return false;
  // What stands between two stars is taken where it comes first: no other place leaves more for what follows.
  let at = start.length;
  for (const part of others) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > text.length - end.length) return false;
    at = found + part.length;
  }
  return true;
}
