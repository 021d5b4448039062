/** What every session may use: the site's rules and the doors to the rest of the program. Made once, in commands. */
import type { Verdict } from "../../passwd/verifier.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { Spool } from "../spool/spool.ts";
import type { Patience } from "./limits.ts";
import type { Rules } from "./session.ts";

export interface Submission extends Rules {
  /** Connections at a time from one address (IPv6: one /64), on one door. */
  readonly connectionsPerAddress: number;
  /** Whether the Received field tells everybody the client's address. */
  readonly clientAddressInMail: boolean;
  readonly patience: Patience;
  readonly verify: (login: string, password: string) => Promise<Verdict>;
  readonly spool: Pick<Spool, "draft" | "free">;
  /** Called when a message is promised, just before the client hears so. */
  readonly accepted: (envelope: Envelope) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
}
