/** Connections that a proxy hands over: who may do so, and the header that comes before anything else, TLS too. */
import { BlockList, isIPv6, type Socket } from "node:net";
import { type ProxyHeader, readProxyHeader } from "./proxy-header.ts";

/** An IP network; one address has a `prefix` of 32 or 128 bits. */
export interface Network {
  readonly address: string;
  readonly prefix: number;
}

/** Whether an IP address, an IPv4 one without "::ffff:", is in one of `networks`. */
export function within(networks: readonly Network[]): (address: string) => boolean {
  const list = new BlockList();
  for (const { address, prefix } of networks) list.addSubnet(address, prefix, familyOf(address));
  return (address) => list.check(address, familyOf(address));
}

const familyOf = (address: string): "ipv6" | "ipv4" => (isIPv6(address) ? "ipv6" : "ipv4");

/**
 * Takes the header off `socket`, which must have it within `patience` milliseconds; what comes behind it stays there.
 * Resolves with what was found, which is never "unfinished"; undefined where the proxy went away without a word, as
 * health checks do.
 */
export function takeProxyHeader(socket: Socket, patience: number): Promise<ProxyHeader | undefined> {
  return new Promise((resolve) => {
    let octets = Buffer.alloc(0);

    function end(found: ProxyHeader | undefined): void {
      clearTimeout(late);
      socket.off("readable", read).off("end", gone).off("close", gone);
      resolve(found);
    }

    function read(): void {
      for (let chunk: unknown = socket.read(); Buffer.isBuffer(chunk); chunk = socket.read()) {
        octets = Buffer.concat([octets, chunk]);
      }
      const found = readProxyHeader(octets);
      if (found.kind === "unfinished") return;
      if (found.kind === "header" && octets.length > found.length) {
        socket.unshift(octets.subarray(found.length));
      }
      end(found);
    }

    const gone = (): void =>
      end(octets.length === 0 ? undefined : { kind: "wrong", reason: "an end amid it" });
    const late = setTimeout(() => end({ kind: "wrong", reason: "it did not come in time" }), patience);
    socket.on("readable", read).on("end", gone).on("close", gone);
  });
}
