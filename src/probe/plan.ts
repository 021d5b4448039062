/**
 * What one run of the probe is to do, after all options, files, variables and prompts: plain values, in the groups that
 * `--dump` prints. The options make it, the transaction carries it out; neither knows how the other works.
 */
import type { MailboxLocation } from "./arrival/location.ts";

/** Where a run may stop, in the order of the session. */
export type StopPoint =
  | "PROXY"
  | "CONNECT"
  | "FIRST-HELO"
  | "XCLIENT"
  | "XCLIENT-HELO"
  | "TLS"
  | "HELO"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "DOT";

/** required: failing ends the run. optional: never does. strict: does when it was offered. */
export type Requirement = "required" | "optional" | "strict";

export type TransportPlan =
  | {
      readonly kind: "inet";
      /** As given; absent: the MX of the last recipient's domain, or of `copyRouting`. */
      readonly server?: string;
      /** Absent: 25, 465 or 24, as TLS and protocol have it. */
      readonly port?: number;
      readonly copyRouting?: string;
      readonly family?: 4 | 6;
      readonly localInterface?: string;
      readonly localPort?: number;
      /** socks5h://HOST:PORT, socks5://HOST:PORT or http://HOST:PORT, perhaps with USER:PASSWORD@. */
      readonly via?: string;
    }
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "pipe"; readonly command: string };

export interface ProtocolPlan {
  readonly core: "smtp" | "esmtp" | "lmtp";
  readonly helo: string;
  /** Reverse-path without angle brackets; "" is the null one. */
  readonly from: string;
  readonly to: readonly string[];
  readonly pipeline: boolean;
  readonly prdr: boolean;
  /** BDAT in chunks of so many octets instead of DATA; absent: DATA. */
  readonly chunk?: number;
  /** Further parameters of MAIL and RCPT, as typed. */
  readonly mailParameters: readonly string[];
  readonly rcptParameters: readonly string[];
  /** RFC 3461 ENVID, which needs no xtext; sent where DSN is offered, with RET=HDRS. */
  readonly envid?: string;
  /** Lines that are sent as they are, one character an octet, each after the stop point that it names. */
  readonly rawLines: readonly { readonly after: StopPoint; readonly line: string }[];
  /** How many messages in one session. */
  readonly messages: number;
  /** Milliseconds for a connection, a handshake and each reply; 0 for ever. */
  readonly timeout: number;
  readonly quitAfter?: StopPoint;
  readonly dropAfter?: StopPoint;
  readonly dropAfterSend?: StopPoint;
}

export interface XclientPlan {
  readonly need: Requirement;
  /** Each one command's attributes, encoded: "ADDR=192.0.2.1 NAME=x". */
  readonly commands: readonly string[];
  /** Names of attributes that must have been offered ("ADDR"); empty where that is not to be looked at. */
  readonly attributes: readonly string[];
  readonly beforeTls: boolean;
}

/** The octets of a PROXY header, and how it is shown. */
export interface ProxyHeader {
  readonly version: 1 | 2;
  readonly octets: Uint8Array;
}

export interface TlsPlan {
  readonly kind: "starttls" | "on-connect";
  readonly need: Requirement;
  /** Node's names of the oldest and the newest version. */
  readonly oldest?: string;
  readonly newest?: string;
  /** OpenSSL's notation. */
  readonly ciphers?: string;
  readonly verifyCa: boolean;
  readonly verifyHost: boolean;
  /** Name to verify instead of the server's. */
  readonly target?: string;
  /** PEM text of the CAs to trust instead of the system's. */
  readonly ca?: string;
  readonly certificate?: string;
  readonly key?: string;
  readonly chain?: string;
  /** "" prints it; else a file. */
  readonly saveCertificate?: string;
  readonly saveChain?: string;
  /** SNI; absent: the server's name where it is one. "" sends none. */
  readonly sni?: string;
}

export interface AuthPlan {
  readonly need: Requirement;
  /** Mechanisms in the order in which to try them, upper case; empty: any. */
  readonly types: readonly string[];
  /** Name as announced -> mechanism as we know it: SPA -> NTLM, and what --auth-map adds. */
  readonly map: ReadonlyMap<string, string>;
  readonly user: string;
  readonly password: string;
  /** --auth-extra, keys in lower case. */
  readonly extra: ReadonlyMap<string, string>;
  /** Show what base64 hides. */
  readonly plaintext: boolean;
  /** What is shown in place of the password; absent: the password itself. */
  readonly hide?: string;
}

/**
 * The message as it goes over the wire before `.` CRLF: dots doubled and lines ended by CRLF, the last one too, unless
 * `fixup` was off.
 */
export interface MessageData {
  readonly octets: Uint8Array;
  /** False: sent to the last octet as given, nothing appended. */
  readonly fixup: boolean;
}

export interface OutputPlan {
  readonly suppressData: boolean;
  /** Absent: not shown. */
  readonly timeLapse?: "integer" | "fraction";
  readonly hints: { readonly send: boolean; readonly receive: boolean; readonly info: boolean };
  readonly hide: {
    readonly send: boolean;
    readonly receive: boolean;
    readonly info: boolean;
    readonly all: boolean;
  };
  readonly silent: 0 | 1 | 2 | 3;
  readonly raw: boolean;
  /** Path, "&STDOUT" or "&STDERR". */
  readonly stdout: string;
  readonly stderr: string;
  readonly explain: boolean;
  readonly json: boolean;
}

/** Where the message is to arrive, and when that is late. Times are milliseconds from the moment of sending. */
export interface ArrivalPlan {
  readonly location: MailboxLocation;
  /** "" where nobody logs in. */
  readonly password: string;
  /** PEM of the CAs to trust there. */
  readonly ca?: string;
  readonly spamFolder?: string;
  /** The authserv-id of the Authentication-Results that count. */
  readonly authority?: string;
  /** The DNS server to ask for the keys of signatures. */
  readonly nameserver?: string;
  /** How long to wait for it. */
  readonly timeout: number;
  readonly warn: number;
  readonly crit: number;
  /** How long messages of earlier runs stay. */
  readonly keep: number;
  /** Signs the mark; absent: one of this run's own. */
  readonly key?: Uint8Array;
  /** One status line, and a plugin's exit status. */
  readonly nagios: boolean;
}

export interface ProbePlan {
  readonly transport: TransportPlan;
  readonly protocol: ProtocolPlan;
  readonly xclient?: XclientPlan;
  readonly proxy?: ProxyHeader;
  readonly tls?: TlsPlan;
  readonly auth?: AuthPlan;
  /** Absent where the run stops before it. */
  readonly data?: MessageData;
  /** Absent: nothing is looked for. */
  readonly arrival?: ArrivalPlan;
  readonly output: OutputPlan;
}
