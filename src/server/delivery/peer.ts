/** How a next hop is spoken of, in the log and in replies of our own. */
import { type Reply, reply } from "../../smtp/reply.ts";
import type { Hop } from "./route.ts";
import type { WireError } from "./step.ts";

/** `mx.example.net[192.0.2.1]:25`. */
export const peerWithPort = (hop: Hop): string => `${peer(hop)}:${hop.port}`;

/** `mx.example.net[192.0.2.1]`. */
export const peer = ({ host, address }: Hop): string => `${host}[${address}]`;

/** Several lines of a server's on one, and no more of it than a log can bear: our choice. */
export const oneLine = (said: string): string => said.replace(/\s*\r?\n\s*/g, " / ").slice(0, longest);

/** Characters of a server's words that are kept. */
export const longest = 1000;

/** The connection broke or fell silent while `doing`: 4.4.2, "bad connection" (RFC 3463 section 3.5). */
export function brokenConnection(error: WireError, doing: string, hop: Hop): Reply {
  const timedOut = error.code === "ETIMEDOUT" || error.code === "EABORT";
  return reply(
    451,
    "4.4.2",
    timedOut
      ? `conversation with ${peer(hop)} timed out while ${doing}`
      : `lost connection with ${peer(hop)} while ${doing}`,
  );
}
