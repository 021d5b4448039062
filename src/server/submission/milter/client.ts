/** The socket to a filter. Whatever the filter does, it ends in time. */
import { once } from "node:events";
import { createConnection, type Socket } from "node:net";
import { errorCode, errorText } from "../../../failure.ts";
import type { MilterChannel } from "./conversation.ts";
import { encodeFrame, FrameReader, type MilterFrame, MilterTrouble } from "./frames.ts";

/** A Unix socket, or a host and its port. */
export type MilterAddress =
  | { readonly kind: "unix"; readonly path: string }
  | { readonly kind: "inet"; readonly host: string; readonly port: number };

/** In milliseconds. */
export interface MilterPatience {
  /** For the connection, and then for each answer. */
  readonly timeout: number;
  /** For one message in all. */
  readonly deadline: number;
}

/** What `work` comes to over a connection of its own, which ends with it. Throws a {@link MilterTrouble}. */
export async function withMilter<Result>(
  address: MilterAddress,
  { timeout, deadline }: MilterPatience,
  work: (channel: MilterChannel) => Promise<Result>,
  stop?: AbortSignal,
): Promise<Result> {
  const socket = createConnection(
    address.kind === "unix" ? { path: address.path } : { ...address, noDelay: true },
  );
  const giveUp = (why: string): void => void socket.destroy(new MilterTrouble(why));
  socket.on("error", () => undefined); // every wait below tells it
  const stopped = (): void => giveUp("the relay is being stopped");
  stop?.addEventListener("abort", stopped);
  if (stop?.aborted === true) stopped();
  const whole = setTimeout(() => giveUp(`it was not done after ${deadline / 1000} seconds`), deadline);
  try {
    await within(
      timeout,
      () => giveUp(`no connection in ${timeout / 1000} seconds`),
      once(socket, "connect"),
    );
    const result = await work(newChannel(socket, timeout, giveUp));
    socket.end(encodeFrame("Q"));
    return result;
  } catch (error) {
    const code = errorCode(error);
    throw code === "" ? error : new MilterTrouble(errorText(error) || code); // of several addresses only the code is told
  } finally {
    clearTimeout(whole);
    stop?.removeEventListener("abort", stopped);
    socket.destroySoon();
  }
}

function newChannel(socket: Socket, timeout: number, giveUp: (why: string) => void): MilterChannel {
  const reader = new FrameReader();
  const chunks: AsyncIterator<Buffer> = socket.iterator({ destroyOnReturn: false });
  let frames: Iterator<MilterFrame, void> = [][Symbol.iterator]();
  const silence = (): void => giveUp(`nothing came in ${timeout / 1000} seconds`);

  /** Reads no more than is asked for: what comes too early waits in the kernel. */
  async function next(): Promise<MilterFrame> {
    for (;;) {
      const frame = frames.next();
      if (frame.done !== true) return frame.value;
      const chunk = await chunks.next();
      if (chunk.done === true) throw new MilterTrouble("it hung up");
      frames = reader.read(chunk.value);
    }
  }

  return {
    send: (...octets) =>
      within(timeout, () => giveUp(`it took nothing in ${timeout / 1000} seconds`), written(socket, octets)),
    next: () => within(timeout, silence, next()),
  };
}

/** Resolves when the kernel has all of it. */
function written(socket: Socket, octets: readonly Buffer[]): Promise<void> {
  return new Promise((resolve, reject) => {
    const done = (error?: Error | null): void => (error ? reject(error) : resolve());
    socket.cork();
    for (const [index, part] of octets.entries()) {
      if (index === octets.length - 1) socket.write(part, done);
      else socket.write(part);
    }
    socket.uncork();
  });
}

/** `work`, of which `late` is called where it takes longer. */
async function within<Result>(
  milliseconds: number,
  late: () => void,
  work: Promise<Result>,
): Promise<Result> {
  const timer = setTimeout(late, milliseconds);
  try {
    return await work;
  } finally {
    clearTimeout(timer);
  }
}
