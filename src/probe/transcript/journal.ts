/** A record of the run, step by step, as values: for --json, the checks and the line at the end. */

import type { StopPoint } from "../plan.ts";
import type { TlsFacts } from "../tls.ts";

/** What the DNS says about a server's certificate (RFC 7672). */
export interface DaneResult {
  readonly records: number;
  /** A resolver on this host has validated it by DNSSEC; otherwise it does not count. */
  readonly authentic: boolean;
  readonly matches: boolean;
}

/** Where in the session: a stop point, or the end. */
export type RecordedPoint = StopPoint | "QUIT";

/** One command and its reply. */
export interface RecordedStep {
  readonly at: RecordedPoint;
  /** Absent for the greeting, which answers no command. */
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
export interface RecordedReply {
  readonly lines: readonly string[];
  readonly expected: boolean;
  readonly late: boolean;
  readonly took: number;
  readonly secure: boolean;
}

export interface RunJournal {
  sent(text: string): void;
  heard(at: RecordedPoint, reply: RecordedReply): void;
  error(text: string): void;
  connected(to: string): void;
  secured(facts: TlsFacts): void;
  loggedIn(mechanism: string): void;
  daneChecked(dane: DaneResult): void;
  read(): RunRecord;
}

/** Everything that is known at the end. */
export interface RunRecord {
  readonly server?: string;
  readonly tls?: TlsFacts;
  readonly dane?: DaneResult;
  readonly auth?: string;
  readonly steps: readonly RecordedStep[];
  readonly errors: readonly string[];
}

export function openJournal(): RunJournal {
  const steps: RecordedStep[] = [];
  const errors: string[] = [];
  const waiting: string[] = [];
  let known: Pick<RunRecord, "server" | "tls" | "dane" | "auth"> = {};
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
    daneChecked: (dane) => {
      known = { ...known, dane };
    },
    loggedIn: (auth) => {
      known = { ...known, auth };
    },
    read: () => ({ ...known, steps, errors }),
  };
}
