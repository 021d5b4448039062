/** The last words of sessions that end because of us. */
import { reply } from "../../smtp/reply.ts";

export const stopping = reply(421, "4.3.2", "The server is being restarted, please try again in a moment");
export const shutOut = reply(421, "4.7.0", "This login was disabled, please ask those who run this server");
export const changed = reply(421, "4.7.0", "This login was changed or removed, please log in again");
export const tooMany = reply(421, "4.3.2", "Too many connections, please try again in a few minutes");
export const tooSlow = reply(421, "4.4.2", "Timeout, closing the connection");
export const internal = reply(421, "4.3.0", "Internal error, sorry; it has been noted");

/** RFC 7504: closed with it. */
export const tooSoon = reply(521, "5.5.1", "Protocol error: the server speaks first");
