/** What the table of clients tells of each, and the server's own values, with which it is filled. */
import type { ReplyName } from "./replies.ts";

/** The server as a person types it into a client. */
export interface Service {
  readonly host: string;
  readonly domain: string;
  /** Further domains, where it is not said whose login it is: their people log in with the whole address. */
  readonly others?: readonly string[];
  /** "NAME" where nobody has said whose it is. */
  readonly login: string;
  readonly address: string;
  /** The better door of those that there are: TLS from the first octet (RFC 8314 section 3.3). */
  readonly port: number;
  readonly isImplicit: boolean;
  /** Port with STARTTLS; undefined where there is none. */
  readonly starttls: number | undefined;
  /** Whom one logs in as by SSH, where keys are taken. */
  readonly sshAccount: string;
  /** What a person reads whose password is wrong. */
  readonly wrongText: string;
}

export interface ClientFile {
  /** Where it goes. */
  readonly name: string;
  readonly text: string;
}

/** What the client shows when something is wrong. */
export interface ClientError {
  readonly says: string;
  readonly means: string;
  /** Replies of ours that may stand behind it; none where it has not got as far as one. */
  readonly replies: readonly ReplyName[];
}

export interface MailClient {
  /** As it is typed: `thunderbird`. */
  readonly id: string;
  readonly also?: readonly string[];
  readonly name: string;
  readonly systems: string;
  /** What it cannot do with a server that has no mailboxes. */
  readonly cannot?: string;
  /** Why its words may be off; undefined where a test sends mail by them. */
  readonly untried?: string;
  readonly steps: (service: Service) => readonly string[];
  /** Its own labels, and what goes there. */
  readonly fields?: (service: Service) => readonly (readonly [string, string])[];
  readonly files?: (service: Service) => readonly ClientFile[];
  readonly pitfalls: readonly string[];
  readonly errors: readonly ClientError[];
}

/** The client's own words for TLS from the first octet, and for STARTTLS. */
export const security = ({ isImplicit }: Service, implicit: string, starttls: string): string =>
  isImplicit ? implicit : starttls;
