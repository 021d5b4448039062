/** The last replies of sessions that the server ends. */
import { reply } from "../../smtp/reply.ts";

export const serverStopping = reply(
  421,
  "4.3.2",
  "The server is being restarted, please try again in a moment",
);
export const loginFrozen = reply(
  421,
  "4.7.0",
  "This login was disabled, please ask those who run this server",
);
export const loginChanged = reply(421, "4.7.0", "This login was changed or removed, please log in again");
export const tooManyConnections = reply(
  421,
  "4.3.2",
  "Too many connections, please try again in a few minutes",
);
export const timedOut = reply(421, "4.4.2", "Timeout, closing the connection");
export const internalError = reply(421, "4.3.0", "Internal error, sorry; it has been noted");

/** RFC 7504. */
export const clientSpokeFirst = reply(521, "5.5.1", "Protocol error: the server speaks first");
