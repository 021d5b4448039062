/** A client that sends octets and reads lines, and knows nothing of SMTP. */
import { once } from "node:events";
import { connect as connectTcp, type Socket } from "node:net";
import { type ConnectionOptions, connect as connectTls, type TLSSocket } from "node:tls";

export interface Client {
  /** Sends octets or text as they are. */
  send(octets: string | Buffer): Promise<void>;
  /** The next line without its CRLF; undefined when the server has closed the connection. */
  line(): Promise<string | undefined>;
  /** Goes on inside TLS. */
  startTls(options?: ConnectionOptions): Promise<void>;
  readonly socket: () => Socket | TLSSocket;
  end(): void;
  destroy(): void;
}

/** Connects to 127.0.0.1, inside TLS where `secure`. */
export async function connect(
  port: number,
  secure: boolean,
  options: ConnectionOptions = {},
): Promise<Client> {
  let socket: Socket | TLSSocket = secure
    ? connectTls({ port, host: "127.0.0.1", rejectUnauthorized: false, ...options })
    : connectTcp({ port, host: "127.0.0.1" });
  socket.setNoDelay(true);
  await once(socket, secure ? "secureConnect" : "connect");
  let incoming = listenTo(socket);
  return {
    send: (octets) =>
      new Promise((resolve) => {
        if (socket.writable) socket.write(octets, () => resolve());
        else resolve();
      }),
    line: () => incoming.line(),
    async startTls(options = {}) {
      incoming.stop();
      const outer = socket;
      const inner = connectTls({ socket: outer, rejectUnauthorized: false, ...options });
      // Of what ended before, the inner one hears nothing.
      const hungUp = (): void => void inner.destroy(new Error("hung up before TLS"));
      if (outer.destroyed) process.nextTick(hungUp);
      outer.once("close", hungUp);
      await once(inner, "secureConnect");
      outer.off("close", hungUp);
      socket = inner;
      incoming = listenTo(inner);
    },
    socket: () => socket,
    end: () => void socket.end(),
    destroy: () => void socket.destroy(),
  };
}

function listenTo(socket: Socket): { line(): Promise<string | undefined>; stop(): void } {
  let text = "";
  let over = false;
  let wake: () => void = () => undefined;
  const onData = (chunk: Buffer): void => {
    text += chunk.toString("utf8");
    wake();
  };
  const onEnd = (): void => {
    over = true;
    wake();
  };
  socket.on("data", onData).on("end", onEnd).on("close", onEnd).on("error", onEnd);
  return {
    async line() {
      for (;;) {
        const end = text.indexOf("\r\n");
        if (end >= 0) {
          const line = text.slice(0, end);
          text = text.slice(end + 2);
          return line;
        }
        if (over) return undefined;
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    },
    stop: () => void socket.off("data", onData),
  };
}
