/** What a checkup finds out about a submission service, before anybody judges it. Times in milliseconds. */
import type { TlsFacts } from "../tls/handshake.ts";

/** What a server said to one command. */
export interface Said {
  readonly code: number;
  /** Last line, without the code. */
  readonly text: string;
}

/** One port, as a client meets it. */
export interface DoorFacts {
  readonly kind: "starttls" | "tls";
  readonly port: number;
  /** Why there was no conversation, or where it ended early; absent where all went as far as wanted. */
  readonly trouble?: string;
  readonly isConnected: boolean;
  readonly greeting?: string;
  /** Keywords of EHLO with what stands behind them, in clear (starttls only) and inside TLS. */
  readonly inClear?: ReadonlyMap<string, string>;
  readonly offers?: ReadonlyMap<string, string>;
  readonly tls?: TlsFacts;
  /** Whether TLS 1.1 or older was agreed on when nothing newer was offered. */
  readonly oldTls?: boolean;
  /** Each step's name and time. */
  readonly times: readonly (readonly [string, number])[];
  /** RCPT to a stranger's domain by somebody who has not logged in, or the first refusal before it. */
  readonly relaying?: Said;
  /** AUTH with a password that is wrong. */
  readonly wrongPassword?: Said;
}

export interface LoginFacts {
  readonly user: string;
  /** AUTH. */
  readonly login?: Said;
  /** MAIL, or RCPT, with a sender of somebody else's domain. */
  readonly forging?: Said;
  readonly trouble?: string;
}

export interface SrvFact {
  readonly label: string;
  /** host:port of each record, and whether the host is an alias. */
  readonly targets:
    | readonly { readonly host: string; readonly port: number; readonly isAlias: boolean }[]
    | "trouble";
}

export interface DnsFacts {
  readonly addresses: readonly string[] | "trouble";
  readonly srv: readonly SrvFact[];
  /** Of each address, its names, and whether one of them leads back to it. */
  readonly reverse: readonly {
    readonly address: string;
    readonly names: readonly string[] | "trouble";
    readonly leadsBack: boolean;
  }[];
  /** SPF's result for each address. */
  readonly spf: readonly { readonly address: string; readonly result: string }[];
  /** The DMARC record; "" where there is none, null where the DNS does not answer. */
  readonly dmarc: string | null;
}

export interface Facts {
  readonly host: string;
  /** Whose mail it is. */
  readonly domain: string;
  readonly dns: DnsFacts;
  readonly doors: readonly DoorFacts[];
  /** Absent where no login was given. */
  readonly login?: LoginFacts;
  /** Milliseconds since the epoch. */
  readonly now: number;
}
