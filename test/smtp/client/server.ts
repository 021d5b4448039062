/** A server on loopback that says what stands in a list, one entry for each command, in pieces of any size. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { onTestFinished } from "vitest";
import { Connection, type ConnectionSettings } from "../../../src/smtp/client/connection.ts";

export interface Scripted {
  readonly connection: Connection;
  /** What came, in the pieces that it came in. */
  readonly pieces: readonly string[];
  /** The server's end. */
  readonly socket: Socket;
}

/** What is said to each command line; "" is nothing, undefined hangs up. */
export type Words = readonly (string | undefined)[];

export interface Behaviour {
  /** Where what it says is cut: after so many octets, again and again; whole where there are none. */
  readonly cuts?: readonly number[];
  /** It reads nothing behind the first so many octets of a message. */
  readonly isFull?: boolean;
}

/** The first of `words` is the greeting. A connection to it, which has read nothing yet. */
export async function talkTo(
  words: Words,
  manners: Partial<ConnectionSettings> = {},
  { cuts = [], isFull = false }: Behaviour = {},
): Promise<Scripted> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  const [[socket], client] = await Promise.all([
    once(server, "connection") as Promise<[Socket]>,
    connected(connect(port, "127.0.0.1")),
  ]);
  server.close();
  const pieces: string[] = [];
  const left = [...words];
  let speaking = Promise.resolve();
  let text = "";
  let inMessage = false;

  function say(): void {
    const next = left.length > 0 ? left.shift() : "";
    inMessage = next?.startsWith("354") === true;
    if (inMessage && isFull) socket.pause();
    speaking = speaking.then(() => speak(socket, next, cuts));
  }

  socket.on("error", () => undefined);
  socket.on("data", (piece) => {
    pieces.push(piece.toString("latin1"));
    text += piece.toString("latin1");
    for (;;) {
      const end = text.indexOf(inMessage ? "\r\n.\r\n" : "\r\n");
      const isLone = inMessage && text.startsWith(".\r\n");
      if (end < 0 && !isLone) return;
      text = text.slice(isLone ? 3 : end + (inMessage ? 5 : 2));
      inMessage = false;
      say();
    }
  });
  say();
  onTestFinished(() => {
    client.destroy();
    socket.destroy();
  });
  const connection = new Connection(client, {
    protocol: "smtp",
    hostname: "client.example.org",
    patience: 2_000,
    ...manners,
  });
  return { connection, pieces, socket };
}

async function connected(socket: Socket): Promise<Socket> {
  await once(socket, "connect");
  return socket;
}

async function speak(socket: Socket, words: string | undefined, cuts: readonly number[]): Promise<void> {
  if (words === undefined) {
    socket.end();
    return;
  }
  const octets = Buffer.from(words, "latin1");
  if (cuts.length === 0) {
    socket.write(octets);
    return;
  }
  for (let at = 0, turn = 0; at < octets.length; turn++) {
    const length = cuts[turn % cuts.length] ?? 1;
    socket.setNoDelay(true).write(octets.subarray(at, at + length));
    at += length;
    await new Promise(setImmediate);
  }
}
