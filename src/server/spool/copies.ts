/**
 * Copies that nobody can be sure of: a next hop had the whole message, and then hung up or fell silent. Counted from the
 * history, by our own words for it; what only waited for a paused destination was not sent.
 */
import type { History, Noted } from "./history.ts";

/** Postfix's words, at the end of ours. */
export const uncertain = "message may be sent more than once";

const ours = ["lost connection with ", "conversation with "];

const isUncertain = ({ relay, text }: Noted): boolean =>
  relay === "none" && ours.some((words) => text.startsWith(words)) && text.endsWith(uncertain);

/** How many copies the recipient `address` may have already, as far as `history` goes back. */
export function possibleCopies(history: History, address: string): number {
  return history.filter((one) => "recipient" in one && one.recipient === address && isUncertain(one)).length;
}

/** What is said of a destination where `text` was said of a message: nothing of copies, which the next one has not. */
export const withoutCopies = (text: string): string =>
  text.endsWith(` -- ${uncertain}`) ? text.slice(0, -` -- ${uncertain}`.length) : text;
