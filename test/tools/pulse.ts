/** Whether the relay answers while something is done to it: asked again and again, each time anew. */
import { once } from "node:events";
import { connect } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/** Ports; `http` where /metrics is to be asked as well. */
export interface Doors {
  readonly submission: number;
  readonly http?: number;
}

export interface Felt {
  readonly greetings: number;
  readonly metrics: number;
  readonly slowest: number;
}

export interface Pulse {
  /**
   * Ends it. Resolves to how often an answer to EHLO and of /metrics came, and to the milliseconds of the slowest one,
   * without those in which we could not have heard it.
   */
  stop(): Promise<Felt>;
}

/** Milliseconds between one question and the next. */
const rest = 200;

/** An answer that takes longer than this is not waited for. */
const longest = 60_000;

/**
 * Milliseconds within which the relay answers, whatever is done to it. Unloaded it does in 10; where tests, strace and
 * everything else share two cores it took up to 400. What this is there to find took seconds, or for ever.
 */
export const bound = 3_000;

/** Milliseconds between two looks at ourselves. */
const look = 20;

/**
 * The most processor time that the relay says it took for one standstill, in seconds: other than the slowest answer, no
 * busy machine makes it longer.
 */
export const costliestStandstill = (relaysLog: string): number =>
  Math.max(
    0,
    ...[...relaysLog.matchAll(/nothing was done for [\d.]+ seconds \(([\d.]+) of the processor\)/g)].map(
      ([, seconds]) => Number(seconds),
    ),
  );

/** Asks whom `doors` tells at that moment. A relay that is dead, or dies over it, gives no answer, and that is nothing. */
export function feelPulse(doors: () => Doors): Pulse {
  let over = false;
  let slowest = 0;
  // What the asking process itself was late, having other work or no processor, is nothing that the relay did.
  let own = 0;
  let last = performance.now();
  const looking = setInterval(() => {
    const now = performance.now();
    own += Math.max(0, now - last - look);
    last = now;
  }, look);
  /** Resolves to the number of answers. */
  async function ask(work: () => Promise<boolean>): Promise<number> {
    let answers = 0;
    while (!over) {
      const begun = performance.now() - own;
      if (await work()) {
        answers += 1;
        await pause(look); // for the look that sees the last of our own lateness
        slowest = Math.max(slowest, performance.now() - own - begun - look);
      }
      await pause(rest);
    }
    return answers;
  }
  const asked = Promise.all([ask(() => greeted(doors().submission)), ask(() => measured(doors().http))]);
  return {
    async stop() {
      over = true;
      const [greetings, metrics] = await asked;
      clearInterval(looking);
      return { greetings, metrics, slowest };
    },
  };
}

/** Has the relay say EHLO on a connection of its own. */
async function greeted(port: number): Promise<boolean> {
  const socket = connect({ host: "127.0.0.1", port, localAddress: "127.0.0.99" });
  socket.setEncoding("latin1");
  const late = setTimeout(() => socket.destroy(new Error("late")), longest);
  let heard = "";
  try {
    await once(socket, "connect");
    socket.on("data", (part: string) => {
      if (heard === "") socket.write("EHLO client.example.org\r\n");
      heard += part;
      if (/^250 /m.test(heard) && !socket.writableEnded) socket.end("QUIT\r\n");
    });
    await once(socket, "close");
    return /^250 /m.test(heard) || /^421 /m.test(heard);
  } catch (error) {
    if (String(error).includes("late")) return true; // far above every bound
    return false;
  } finally {
    clearTimeout(late);
    socket.destroy();
  }
}

async function measured(port: number | undefined): Promise<boolean> {
  if (port === undefined) return false;
  try {
    const url = `http://127.0.0.1:${String(port)}/metrics`;
    const answer = await fetch(url, {
      signal: AbortSignal.timeout(longest),
      headers: { connection: "close" },
    });
    return (await answer.text()).includes("tpa_submit");
  } catch (error) {
    return error instanceof Error && error.name === "TimeoutError";
  }
}
