/** A client that sends what it is given, and keeps what it hears until the server has closed the connection. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import type { Conversation } from "./mutation.ts";

export interface Doors {
  readonly submission: number;
  readonly submissions: number;
}

/** Longer than a session with three wrong passwords takes, each answered after 15 seconds, or the server hangs. */
const patience = 90_000;

/** After so many milliseconds the client hangs up. */
const quiet = 1_000;

/**
 * Has `conversation` from the loopback address `from`. Resolves to all that the server said, "latin1", as soon as it
 * has closed the connection; rejects when it does not.
 */
export async function converse(
  { way, octets, piece, end }: Conversation,
  { submission, submissions }: Doors,
  from: string,
): Promise<string> {
  const port = way === "starttls" || way === "plain" ? submission : submissions;
  const raw = connectTcp({ host: "127.0.0.1", port, localAddress: from, noDelay: true });
  raw.on("error", () => undefined); // the server may cut a client off at any time
  try {
    await once(raw, "connect");
    const socket = await dressed(raw, way);
    return await spoken(socket, octets, piece, end);
  } finally {
    raw.destroy();
  }
}

/** The socket inside TLS where the conversation is to be there. */
async function dressed(raw: Socket, way: Conversation["way"]): Promise<Socket> {
  if (way === "plain" || way === "smtps-in-clear") return raw;
  if (way === "starttls") {
    await said(raw, /^220 .*\r\n/);
    raw.write("EHLO client.example\r\n");
    await said(raw, /^250 .*\r\n/m);
    raw.write("STARTTLS\r\n");
    await said(raw, /^220 .*\r\n/);
  }
  const socket = connectTls({ socket: raw, rejectUnauthorized: false });
  await once(socket, "secureConnect");
  return socket;
}

async function said(socket: Socket, what: RegExp): Promise<void> {
  for (let text = ""; !what.test(text); ) {
    socket.resume();
    const [chunk]: Buffer[] = await once(socket, "data", { signal: AbortSignal.timeout(patience) });
    text += chunk?.toString("latin1");
  }
  socket.pause();
}

async function spoken(
  socket: Socket,
  octets: Buffer,
  piece: number,
  end: Conversation["end"],
): Promise<string> {
  let heard = "";
  const closed = new Promise<void>((resolve) => {
    socket.on("error", () => undefined);
    socket.on("data", (chunk: Buffer) => {
      heard += chunk.toString("latin1");
    });
    socket.on("end", resolve).on("close", resolve);
  });
  socket.resume();
  const stop = end === "waits" ? octets.length : Math.floor(octets.length * end.vanishesAfter);
  for (let at = 0; at < stop && socket.writable; at += piece) {
    const isTaken = socket.write(octets.subarray(at, Math.min(at + piece, stop)));
    if (!isTaken) await Promise.race([new Promise((resolve) => socket.once("drain", resolve)), closed]);
  }
  if (end !== "waits") return heard;
  // A QUIT that is heard ends it; one that was taken for something else leaves the server waiting for more.
  if (await isOverWithin(quiet, closed)) return heard;
  socket.end();
  if (await isOverWithin(patience, closed)) return heard;
  throw new Error(`the server neither answered nor closed; it had said ${JSON.stringify(heard)}`);
}

async function isOverWithin(milliseconds: number, closed: Promise<void>): Promise<boolean> {
  const over = new AbortController();
  const late = pause(milliseconds, false, { signal: over.signal }).catch(() => true);
  const isOver = await Promise.race([closed.then(() => true), late]);
  over.abort();
  return isOver;
}
