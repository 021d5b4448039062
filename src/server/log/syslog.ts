/** A syslog server on the network. */
import { createSocket, type Socket as UdpSocket } from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import type { LogDestination } from "./destination.ts";
import { type LogLine, longestDatagram, priorityOf } from "./format.ts";

/** A syslog server: RFC 3164 over UDP, since RFC 5424 lines come out of rsyslog in a shape that nobody parses. */
export function toSyslog(host: string, port: number, header: (line: LogLine) => string): LogDestination {
  let socket: UdpSocket | undefined;
  let refusal: Error | undefined; // known only after a datagram was sent where nobody listens

  async function connection(): Promise<UdpSocket> {
    if (socket !== undefined) return socket;
    const { address, family } = await lookup(host);
    const next = createSocket(family === 6 ? "udp6" : "udp4");
    next.unref().on("error", (error) => {
      refusal = error;
    });
    next.connect(port, address);
    await once(next, "connect");
    socket = next;
    return next;
  }

  async function send(line: LogLine): Promise<void> {
    const text = Buffer.from(`<${priorityOf(line.level)}>${header(line)}`);
    const datagram = text.length > longestDatagram ? text.subarray(0, longestDatagram) : text;
    const to = await connection();
    await new Promise<void>((resolve, reject) => {
      to.send(datagram, (error) => (error ? reject(error) : resolve()));
    });
  }

  return {
    write: async (lines) => {
      for (const line of lines) await send(line);
      const error = refusal;
      refusal = undefined;
      if (error !== undefined) throw error;
    },
    reopen: async () => {
      socket?.close();
      socket = undefined; // the name is looked up again
    },
    close: async () => void socket?.close(),
  };
}
