/** The relay as the portal asks it: by the door that `serve` opens at portal.socket. A relay that is away is an answer. */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { text } from "node:stream/consumers";
import { errorCode } from "../../failure.ts";
import type { PortalAnswers, PortalRequest } from "../../server/control/portal-door.ts";

/** `why` is for the log. */
export interface RelayAway {
  readonly away: string;
}

/** Asks the relay. */
export type AskRelay = <Given extends PortalRequest>(
  asked: Given,
) => Promise<PortalAnswers[Given["ask"]] | RelayAway>;

/** Milliseconds. Our choice: a page must not wait longer. */
const patience = 10_000;

/** `path` is portal.socket; "" is none. `say` hears when the relay goes away and when it is back. */
export function relayBehind(path: string, say: (line: string) => void): AskRelay {
  if (path === "") return async () => ({ away: "portal.socket names no socket" });
  let isAway = false;
  const told = (why: string | undefined): void => {
    if ((why !== undefined) === isAway) return;
    isAway = why !== undefined;
    say(why === undefined ? "the relay answers again" : `the relay does not answer: ${why}`);
  };
  const away = (reason: string): RelayAway => {
    told(`${path}: ${reason}`);
    return { away: reason };
  };
  return async <Given extends PortalRequest>(asked: Given) => {
    const asking = request({
      socketPath: path,
      method: "POST",
      path: "/",
      agent: false,
      signal: AbortSignal.timeout(patience),
    });
    asking.on("error", () => undefined); // it reaches the call that waits for it
    try {
      asking.end(JSON.stringify(asked));
      const [response] = (await once(asking, "response")) as [IncomingMessage];
      const answer = await text(response);
      if (response.statusCode !== 200) return away(`status ${response.statusCode ?? 0}`);
      const found = JSON.parse(answer) as PortalAnswers[Given["ask"]]; // the relay wrote it
      told(undefined);
      return found;
    } catch (error) {
      if (errorCode(error) === "" && !(error instanceof SyntaxError)) throw error;
      return away(errorCode(error) || "an answer cut short");
    } finally {
      asking.destroy();
    }
  };
}
