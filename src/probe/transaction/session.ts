/** What the steps of a transaction share: the plan, the conversation, and the server's last EHLO keywords. */
import type { X509Certificate } from "node:crypto";
import type { Keywords } from "../../smtp/client/ehlo.ts";
import type { ProbePlan } from "../plan.ts";
import type { DaneResult, RunJournal } from "../transcript/journal.ts";
import type { Transcript } from "../transcript/transcript.ts";
import type { Conversation } from "./conversation.ts";

export interface ProbeSession {
  readonly plan: ProbePlan;
  readonly conversation: Conversation;
  readonly transcript: Transcript;
  readonly journal: RunJournal;
  readonly dependencies: ProbeDependencies;
  /** The name or address that was connected to; absent for a socket or a program. */
  readonly host?: string;
  readonly port?: number;
  /** Of the last EHLO; empty behind HELO. */
  offers: Keywords;
  /** EHLO is to be sent (again): at the beginning, and after STARTTLS and XCLIENT (RFC 3207 section 4.2). */
  isHelloDue: boolean;
}

/** What the probe needs from outside. */
export interface ProbeDependencies {
  /** Milliseconds, from any beginning. */
  readonly clock: () => number;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  readonly random: (count: number) => Uint8Array;
  /** PEM text of the CAs that the system trusts. */
  readonly systemCa: () => string;
  /** Hosts that take mail for an address's domain, the best first; none where it takes no mail. */
  readonly route: (domain: string) => Promise<readonly string[]>;
  /**
   * Checks TLSA records; undefined where there are none, or the DNS does not answer. Absent where they are not wanted.
   * The chain's first certificate is the host's own.
   */
  readonly dane?: (
    host: string,
    port: number,
    chain: readonly X509Certificate[],
  ) => Promise<DaneResult | undefined>;
  /** Writes a file. Returns why it could not; undefined where it could. */
  readonly save: (path: string, text: string) => string | undefined;
}
