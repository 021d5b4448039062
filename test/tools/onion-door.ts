/**
 * In place of tor, on loopback: a SOCKS 5 server (RFC 1928) to which every name that ends in .onion is one Unix socket, and
 * a port that leads there without SOCKS.
 */
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";

export interface OnionDoor {
  /** Of the SOCKS server. */
  readonly socks: number;
  /** A port that is the onion service itself. */
  readonly direct: number;
  /** The names that clients asked for. */
  readonly asked: readonly string[];
  close(): void;
}

/** `header` gives what is sent to the socket `path` first, as tor does with HiddenServiceExportCircuitID. */
export async function startOnionDoor(path: string, header: () => string = () => ""): Promise<OnionDoor> {
  const asked: string[] = [];
  const socks = createServer((client) => {
    let octets = Buffer.alloc(0);
    let isGreeted = false;
    const read = (more: Buffer): void => {
      octets = Buffer.concat([octets, more]);
      if (!isGreeted) {
        const end = 2 + (octets[1] ?? 0);
        if (octets.length < 2 || octets.length < end) return;
        octets = octets.subarray(end);
        isGreeted = true;
        client.write(Buffer.of(5, 0)); // no authentication
      }
      const length = octets[4] ?? 0;
      if (octets.length < 7 + length) return;
      client.off("data", read);
      const name = octets.toString("latin1", 5, 5 + length);
      if (octets[3] !== 3 || !name.endsWith(".onion")) {
        client.end(Buffer.of(5, 4, 0, 1, 0, 0, 0, 0, 0, 0)); // host unreachable
        return;
      }
      asked.push(name);
      client.write(Buffer.of(5, 0, 0, 1, 0, 0, 0, 0, 0, 0));
      lead(client, path, header());
    };
    client.on("data", read).on("error", () => client.destroy());
  });
  const direct = createServer((client) => lead(client, path, header()));
  const [socksPort, directPort] = [await portOf(socks), await portOf(direct)];
  const close = (): void => {
    socks.close();
    direct.close();
  };
  return { socks: socksPort, direct: directPort, asked, close };
}

function lead(client: Socket, path: string, header: string): void {
  const service = connect(path);
  service.write(header);
  client.on("error", () => service.destroy()).on("close", () => service.destroy());
  service.on("error", () => client.destroy()).on("close", () => client.destroySoon());
  client.pipe(service);
  service.pipe(client);
}

async function portOf(server: Server): Promise<number> {
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return (server.address() as AddressInfo).port;
}
