/** What every session may use: the site's rules and the doors to the rest of the program. Made once, in commands. */
import type { Proofs, Verdict } from "../../passwd/verifier.ts";
import type { Envelope } from "../spool/envelope.ts";
import type { FreeSpace, Spool } from "../spool/spool.ts";
import type { Brake } from "./limits/brake.ts";
import type { Crowd } from "./limits/crowd.ts";
import type { Patience } from "./patience.ts";
import type { Rules } from "./session.ts";

export interface Submission extends Rules {
  /** Connections at a time from one address (IPv6: one /64). */
  readonly connectionsPerAddress: number;
  /** Connections at a time in all. */
  readonly connections: number;
  /** Descriptors that the process may have. */
  readonly descriptors: number;
  /** Whether who connects from there is a proxy, which must name its client first. */
  readonly isProxy: (address: string) => boolean;
  /** Those there are now, at every door. */
  readonly crowd: Crowd;
  /** The words of 535: the same for an unknown user, a wrong password and a forbidden name. */
  readonly wrongText: string;
  /** What becomes of messages with a lone CR, a lone LF or a NUL. */
  readonly lineEnds: "refuse" | "repair";
  /** Whether the Received field tells everybody the client's address. */
  readonly clientAddressInMail: boolean;
  readonly patience: Patience;
  readonly verify: (login: string, password: string) => Promise<Verdict>;
  /** Milliseconds that the dearest check takes which the password file can cause. */
  readonly dearest: () => Promise<number>;
  /** For logins that say no password. */
  readonly proofs: Proofs;
  /** What the password file holds for a login, as the client says it; only to be compared. */
  readonly hashes: (login: string) => Promise<readonly string[]>;
  /** Whether the password file still holds all of it for that login. Asked at every command. */
  readonly stands: (login: string, hashes: readonly string[]) => boolean;
  readonly brake: Brake;
  /** Whether `login`, as a Verdict names it, is shut out, with all that it is about to send. Asked time and again. */
  readonly isFrozen: (login: string) => boolean;
  readonly spool: Pick<Spool, "draft" | "free">;
  /** What a message must leave free on the spool's disk, so that there is room for what becomes of the others. */
  readonly reserve: FreeSpace;
  /** Called when a message is promised, just before the client hears so. */
  readonly accepted: (envelope: Envelope) => void;
  /** Milliseconds since the epoch. */
  readonly now: () => number;
  /** Milliseconds of a clock that never goes back. */
  readonly steady: () => number;
  /** Waits for so many milliseconds. */
  readonly pause: (milliseconds: number) => Promise<unknown>;
}
