/** A host that mail goes to next, and how it is called in the log and in replies of our own. */

import type { BrokenConnection } from "../../smtp/client/connection.ts";
import { parseReply, type Reply, reply } from "../../smtp/reply.ts";
import { onOneLine } from "../log/log.ts";
import { uncertain } from "../spool/history.ts";
import type { TlsPolicy } from "./tls/policy.ts";

/** One address of one host. */
export interface NextHop {
  /** Host name, which its certificate is for; the address again where there is no name. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** TLS from the first byte (RFC 8314 section 3.3), not by STARTTLS. */
  readonly implicit?: boolean;
  /** What the DNS or a policy demands of this host; absent where the route's own settings are all. */
  readonly tls?: TlsPolicy;
  /** The domain tries MTA-STS out: what would fail under it is told, and nothing follows (RFC 8461 section 5). */
  readonly stsTesting?: boolean;
  /**
   * Whether signatures prove that the domain named this host, or the operator did: REQUIRETLS asks (RFC 8689 section
   * 4.2.1).
   */
  readonly authentic?: boolean;
  /** The message was sent with REQUIRETLS: without verified TLS and that extension the host is none for it. */
  readonly requireTls?: boolean;
}

/** `mx.example.net[192.0.2.1]:25`. */
export const peerWithPort = (hop: NextHop): string => `${peer(hop)}:${hop.port}`;

/** `mx.example.net[192.0.2.1]`. */
export const peer = ({ host, address }: NextHop): string => `${host}[${address}]`;

// What a host says, fit for a log line and an envelope, and what we say in its place where it says nothing.

/** Characters of a server's words that are kept; our choice: what a log line and an envelope can bear. */
const longest = 1000;

/** A server's words on one line, without control characters. */
export function oneLine(said: string): string {
  return onOneLine(said.slice(0, longest), " / ").replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

/** The reply that a server gave, its text no longer and no wilder than {@link oneLine} allows. */
export function replyIn(said: string): Reply {
  const { code, status, text } = parseReply(said);
  return reply(code, status, oneLine(text));
}

/** The connection broke or fell silent in this state: 4.4.2, "bad connection" (RFC 3463 section 3.5). */
export function brokenConnection({ kind }: BrokenConnection, state: string, hop: NextHop): Reply {
  const moment = state === "sending end of data" ? `${state} -- ${uncertain}` : state;
  const what =
    kind === "late" ? `conversation with ${peer(hop)} timed out` : `lost connection with ${peer(hop)}`;
  return reply(451, "4.4.2", `${what} while ${moment}`);
}
