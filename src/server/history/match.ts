/** Whether an event is about what a person asks for: a queue ID, a Message-ID, a login, an address, a domain. Pure. */
import type { HistoryEvent } from "./event.ts";

/** `<a@example.org>` is `a@example.org`, `@example.net` is `example.net`; upper and lower case are the same. */
export const bareWord = (word: string): string =>
  word
    .replace(/^<(.*)>$/, "$1")
    .replace(/^@/, "")
    .toLowerCase();

/** The fields that a word may be. */
const named = ["id", "report", "messageId", "login", "from", "to"] as const;

/** Whether one of the fields of `event` is `word`, or an address below the domain `word`. `word` is bare. */
export function isAbout(event: HistoryEvent, word: string): boolean {
  const fields = event as unknown as Readonly<Record<string, unknown>>;
  return named.some((name) => {
    const found = fields[name];
    if (typeof found !== "string") return false;
    const text = found.toLowerCase();
    return text === word || (name !== "messageId" && text.endsWith(`@${word}`));
  });
}
