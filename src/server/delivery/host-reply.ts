/** What a host says, fit for a log line and an envelope, and what we say in its place where it says nothing. */
import type { Broken } from "../../smtp/client/connection.ts";
import { parseReply, type Reply, reply } from "../../smtp/reply.ts";
import { onOneLine } from "../log/log.ts";
import { uncertain } from "../spool/history.ts";
import { type NextHop, peer } from "./next-hop.ts";

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
export function brokenConnection({ kind }: Broken, state: string, hop: NextHop): Reply {
  const moment = state === "sending end of data" ? `${state} -- ${uncertain}` : state;
  const what =
    kind === "late" ? `conversation with ${peer(hop)} timed out` : `lost connection with ${peer(hop)}`;
  return reply(451, "4.4.2", `${what} while ${moment}`);
}
