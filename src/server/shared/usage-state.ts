/** What a login sent, as the database has it: a row for each login, in the words of {@link LoginUsage}. Pure. */
import { day, hour, type SlidingCount, total } from "../submission/limits/sliding-window.ts";
import { type LoginUsage, noUsage } from "../submission/limits/usage-limits.ts";

/** `{"messages":[[29730960,2]],"recipients":[…],"newRecipients":[…]}`: the number of the slot, and its count. */
export function formatState({ messages, recipients, newRecipients }: LoginUsage): string {
  return JSON.stringify({
    messages: pairsOf(messages),
    recipients: pairsOf(recipients),
    newRecipients: pairsOf(newRecipients),
  });
}

const pairsOf = (counts: SlidingCount): readonly (readonly [number, number])[] =>
  counts.map(({ slot, count }) => [slot, count]);

/** Nothing where somebody made something else of it: as with a file that cannot be read, mail goes on. */
export function parseState(text: string): LoginUsage {
  if (text === "") return noUsage;
  try {
    const found = JSON.parse(text) as Partial<Record<string, unknown>> | null;
    return {
      messages: countsIn(found?.messages),
      recipients: countsIn(found?.recipients),
      newRecipients: countsIn(found?.newRecipients),
    };
  } catch (error) {
    if (error instanceof SyntaxError) return noUsage;
    throw error;
  }
}

function countsIn(found: unknown): SlidingCount {
  if (!Array.isArray(found)) return [];
  return found.flatMap((pair: unknown) => {
    const [slot, count] = Array.isArray(pair) ? (pair as readonly unknown[]) : [];
    return isWhole(slot) && isWhole(count) ? [{ slot, count }] : [];
  });
}

const isWhole = (value: unknown): value is number => Number.isSafeInteger(value);

/** Whether nothing of it counts any more at the time `now`. */
export const isOver = ({ messages, recipients, newRecipients }: LoginUsage, now: number): boolean =>
  total(messages, hour, now) + total(recipients, day, now) + total(newRecipients, day, now) === 0;
