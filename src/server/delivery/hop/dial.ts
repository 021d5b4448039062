/** A TCP connection to a next hop, or why there is none. */
import { connect, isIPv6, type Socket } from "node:net";
import { getSystemErrorMap } from "node:util";
import { errorCode } from "../../../failure.ts";
import { within } from "../../../smtp/client/deadline.ts";
import { type Reply, reply } from "../../../smtp/reply.ts";
import type { Hop } from "../route/route.ts";
import { peerWithPort } from "./peer.ts";
import type { Source } from "./terms.ts";

/** Connects from `source` within `patience` milliseconds and before `signal`. */
export function dial(
  hop: Hop,
  source: Source,
  patience: number,
  signal: AbortSignal,
): Promise<Socket | Reply> {
  return within(signal, patience, (bound) => connected(hop, source, bound));
}

function connected(hop: Hop, { v4, v6 }: Source, signal: AbortSignal): Promise<Socket | Reply> {
  const localAddress = isIPv6(hop.address) ? v6 : v4;
  const socket = connect({
    host: hop.address,
    port: hop.port,
    ...(localAddress !== undefined && { localAddress }),
  });
  return new Promise((resolve) => {
    const finish = (result: Socket | Reply): void => {
      socket.off("connect", succeed).off("error", refuse);
      signal.removeEventListener("abort", giveUp);
      resolve(result);
    };
    const fail = (words: string): void => {
      socket.on("error", () => undefined).destroy();
      finish(reply(451, "4.4.1", `connect to ${peerWithPort(hop)}: ${words}`));
    };
    const succeed = (): void => finish(socket);
    const refuse = (error: Error): void => fail(systemWords(error));
    const giveUp = (): void => fail("Connection timed out");
    socket.once("connect", succeed).once("error", refuse);
    signal.addEventListener("abort", giveUp, { once: true });
    if (signal.aborted) giveUp();
  });
}

/** "Connection refused" for ECONNREFUSED, as strerror(3) has it. */
function systemWords(error: Error): string {
  const code = errorCode(error);
  const words = [...getSystemErrorMap().values()].find(([name]) => name === code)?.[1] ?? error.message;
  return `${words.charAt(0).toUpperCase()}${words.slice(1)}`;
}
