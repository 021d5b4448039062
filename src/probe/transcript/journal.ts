/** What happened, step by step, as values: for --json, the explanations and the line at the end. */

import type { Stop } from "../plan.ts";
import type { TlsFacts } from "../tls.ts";

/** What the DNS says about a server's certificate (RFC 7672). */
export interface Dane {
  readonly records: number;
  /** A resolver on this host says that signatures prove it; otherwise it counts for nothing. */
  readonly authentic: boolean;
  readonly matches: boolean;
}

/** Where in the conversation: a stop point, or the end. */
export type Moment = Stop | "QUIT";

/** One command and what was said to it. */
export interface Step {
  readonly at: Moment;
  /** Absent where nothing was said to hear it: the greeting. */
  readonly sent?: string;
  /** The reply's lines; none where none came. */
  readonly reply: readonly string[];
  readonly expected: boolean;
  /** It did not come in time. */
  readonly late: boolean;
  readonly milliseconds: number;
  readonly secure: boolean;
}

/** The last reply of a step, and how it came. */
export interface HeardReply {
  readonly lines: readonly string[];
  readonly expected: boolean;
  readonly late: boolean;
  readonly took: number;
  readonly secure: boolean;
}

export interface Journal {
  sent(text: string): void;
  heard(at: Moment, reply: HeardReply): void;
  error(text: string): void;
  connected(to: string): void;
  secured(facts: TlsFacts): void;
  loggedIn(mechanism: string): void;
  looked(dane: Dane): void;
  read(): Recorded;
}

/** Everything that is known at the end. */
export interface Recorded {
  readonly server?: string;
  readonly tls?: TlsFacts;
  readonly dane?: Dane;
  readonly auth?: string;
  readonly steps: readonly Step[];
  readonly errors: readonly string[];
}

export function openJournal(): Journal {
  const steps: Step[] = [];
  const errors: string[] = [];
  const waiting: string[] = [];
  let known: Pick<Recorded, "server" | "tls" | "dane" | "auth"> = {};
  return {
    sent: (text) => void waiting.push(text),
    heard(at, { lines, expected, late, took, secure }) {
      const sent = waiting.shift();
      steps.push({
        at,
        ...(sent === undefined ? {} : { sent }),
        reply: lines,
        expected,
        late,
        milliseconds: Math.round(took * 1000) / 1000,
        secure,
      });
    },
    error: (text) => void errors.push(text),
    connected: (server) => {
      known = { server };
    },
    secured: (tls) => {
      known = { ...known, tls };
    },
    looked: (dane) => {
      known = { ...known, dane };
    },
    loggedIn: (auth) => {
      known = { ...known, auth };
    },
    read: () => ({ ...known, steps, errors }),
  };
}
