/** A SOCKS5 proxy on loopback (RFC 1928), as Tor has one: without a login, CONNECT by host name or IPv4 address. */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";

export interface SocksProxy {
  readonly port: number;
  /** HOST:PORT of each request. */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

export async function socksProxy(): Promise<SocksProxy> {
  const asked: string[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((client) => {
    sockets.add(client);
    client.on("error", () => undefined);
    let octets = Buffer.alloc(0);
    let isGreeted = false;
    const onData = (chunk: Buffer): void => {
      octets = Buffer.concat([octets, chunk]);
      if (!isGreeted) {
        const end = 2 + (octets[1] ?? 255);
        if (octets.length < end) return;
        octets = octets.subarray(end);
        isGreeted = true;
        client.write(Buffer.of(5, 0)); // section 3: no authentication
      }
      const request = readRequest(octets);
      if (request === undefined) return;
      client.off("data", onData);
      client.pause();
      asked.push(`${request.host}:${request.port}`);
      const target = connect(request.port, request.host);
      sockets.add(target);
      target.on("error", () => client.destroy());
      target.once("connect", () => {
        client.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0)); // section 6: succeeded
        target.write(octets.subarray(request.end));
        client.pipe(target).pipe(client);
      });
    };
    client.on("data", onData);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    asked,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

/** Section 4; undefined until it is whole. */
function readRequest(octets: Buffer): { host: string; port: number; end: number } | undefined {
  const isName = octets[3] === 3;
  const start = isName ? 5 : 4;
  const end = start + (isName ? (octets[4] ?? 255) : 4);
  if (octets.length < Math.max(end + 2, 5)) return undefined;
  const address = octets.subarray(start, end);
  return {
    host: isName ? address.toString("latin1") : address.join("."),
    port: octets.readUInt16BE(end),
    end: end + 2,
  };
}
