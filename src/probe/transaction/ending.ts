/** How a run ends, and with what status: the only way in which the steps of a transaction tell that it is over. */
import { type Outcome, statusOf } from "./exit.ts";

export interface Ending {
  /**
   * quit: with QUIT. drop: without, and the transcript says so. leave: without a word. again: without a word, to be
   * tried once more in clear, on another connection.
   */
  readonly how: "quit" | "drop" | "leave" | "again";
  readonly status: number;
}

export const quit = (outcome: Outcome): Ending => ({ how: "quit", status: statusOf(outcome) });
export const leave = (outcome: Outcome): Ending => ({ how: "leave", status: statusOf(outcome) });
export const drop: Ending = { how: "drop", status: statusOf("ok") };
export const again: Ending = { how: "again", status: statusOf("tls") };
