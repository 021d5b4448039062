/**
 * A host that mail goes to next: what is demanded of it, what it is called in the log, and its replies in a form that
 * is safe for a log line and an envelope.
 */

import type { BrokenConnection } from "../../smtp/client/connection.ts";
import { parseReply, type Reply, reply } from "../../smtp/reply.ts";
import { onOneLine } from "../log/log.ts";
import { uncertain } from "../spool/history.ts";
import type { TlsPolicy } from "./tls/policy.ts";

/** One address of a host. */
export interface NextHop {
  /** Host name that its certificate must have; the address again if there is no name. */
  readonly host: string;
  readonly address: string;
  readonly port: number;
  /** TLS from the first octet (RFC 8314 section 3.3), without STARTTLS. */
  readonly implicit?: boolean;
  /** What DANE or MTA-STS demands of this host; absent if only the route's settings count. */
  readonly tls?: TlsPolicy;
  /** The domain's MTA-STS mode is testing: failures are logged and have no effect (RFC 8461 section 5). */
  readonly stsTesting?: boolean;
  /** The host's name comes from the operator or from signed MX records: for REQUIRETLS (RFC 8689 section 4.2.1). */
  readonly authentic?: boolean;
  /** The message was sent with REQUIRETLS: the host needs verified TLS and that extension. */
  readonly requireTls?: boolean;
  /** Messages that its owner wants in one session at most. */
  readonly mostMessages?: number;
}

/** `mx.example.net[192.0.2.1]:25`. */
export const peerWithPort = (hop: NextHop): string => `${peer(hop)}:${hop.port}`;

/** `mx.example.net[192.0.2.1]`. */
export const peer = ({ host, address }: NextHop): string => `${host}[${address}]`;

/** Characters of a reply that are kept. Our choice: short enough for a log line and an envelope. */
const longest = 1000;

/** A server's text on one line, without control characters. */
export function oneLine(said: string): string {
  return onOneLine(said.slice(0, longest), " / ").replace(/[\u0000-\u001f\u007f-\u009f]/g, "?");
}

/** A server's reply, its text as {@link oneLine} makes it. */
export function replyIn(said: string): Reply {
  const { code, status, text } = parseReply(said);
  return reply(code, status, oneLine(text));
}

/** Our reply if the connection broke or timed out in this state: 4.4.2, "bad connection" (RFC 3463 section 3.5). */
export function brokenConnection({ kind }: BrokenConnection, state: string, hop: NextHop): Reply {
  const moment = state === "sending end of data" ? `${state} -- ${uncertain}` : state;
  const what =
    kind === "late" ? `conversation with ${peer(hop)} timed out` : `lost connection with ${peer(hop)}`;
  return reply(451, "4.4.2", `${what} while ${moment}`);
}
