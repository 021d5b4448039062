/**
 * What a message costs its login, and that it may be too much. Where several hosts count together this is decided in the step
 * that makes the promise, so that a limit holds to the message.
 */
import type { Envelope } from "./envelope.ts";

export interface Spend {
  readonly login: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** Digests of its recipients, as the limits know them. */
  readonly recipients: readonly string[];
}

/** Nothing was promised. */
export interface SpendRefusal {
  /** "200 messages an hour" */
  readonly limit: string;
  /** When there is room again, in milliseconds since the epoch. */
  readonly until: number;
}

export const isSpendRefusal = (outcome: Envelope | SpendRefusal): outcome is SpendRefusal =>
  "limit" in outcome;
