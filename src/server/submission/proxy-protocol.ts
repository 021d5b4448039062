/**
 * The PROXY protocol of HAProxy, versions 1 (a line) and 2 (binary): the header with which a proxy names its client,
 * before anything else, TLS too. The reader is pure and strict: what is not exactly a header is refused, as its end
 * cannot be guessed.
 */
import { BlockList, isIPv4, isIPv6, type Socket, SocketAddress } from "node:net";
import { proxyHeader as longest } from "./client-limits.ts";

export type ProxyHeaderResult =
  | { readonly kind: "unfinished" }
  | { readonly kind: "wrong"; readonly reason: string }
  /** `client` is undefined where the proxy connects for itself, or does not know for whom. */
  | { readonly kind: "header"; readonly length: number; readonly client?: string };

const lineBegins = Buffer.from("PROXY ");
const octetsBegin = Buffer.from("\r\n\r\n\0\r\nQUIT\n", "latin1");

/** Section 2.1 of the specification: octets of the longest line, with its CRLF. */
const longestLine = 107;

const unfinished: ProxyHeaderResult = { kind: "unfinished" };

/** Reads the header that `octets` begin with. */
export function readProxyHeader(octets: Buffer): ProxyHeaderResult {
  if (beginsLike(octets, lineBegins)) return readLine(octets);
  if (beginsLike(octets, octetsBegin)) return readOctets(octets);
  return wrong("neither version 1 nor 2");
}

/** Compares as many octets as have come. */
function beginsLike(octets: Buffer, beginning: Buffer): boolean {
  const length = Math.min(octets.length, beginning.length);
  return octets.subarray(0, length).equals(beginning.subarray(0, length));
}

const port = "(?:0|[1-9]\\d{0,4})";
const known = new RegExp(`^PROXY TCP([46]) ([0-9A-Fa-f:.]+) ([0-9A-Fa-f:.]+) (${port}) (${port})$`);

function readLine(octets: Buffer): ProxyHeaderResult {
  const end = octets.indexOf("\r\n");
  if (end < 0) return octets.length < longestLine ? unfinished : wrong("a line without end");
  const length = end + 2;
  if (length > longestLine) return wrong("a line too long");
  const line = octets.toString("latin1", 0, end);
  if (/^PROXY UNKNOWN(?: |$)/.test(line)) return { kind: "header", length };
  const [, version, client = "", here = "", ...ports] = known.exec(line) ?? [];
  const isAddress = version === "4" ? isIPv4 : isIPv6;
  if (version === undefined || !isAddress(client) || !isAddress(here)) return wrong("a line of another form");
  if (ports.some((number) => Number(number) > 65_535)) return wrong("a port beyond 65535");
  return { kind: "header", length, client: canonical(client) };
}

/** Version 2: signature, version and command, family and protocol, length, addresses, and values that we do not read. */
function readOctets(octets: Buffer): ProxyHeaderResult {
  if (octets.length < 16) return unfinished;
  const [command = 0, family = 0] = octets.subarray(12, 14);
  const length = 16 + octets.readUInt16BE(14);
  if (command !== 0x20 && command !== 0x21) return wrong("another version, or another command");
  if (length > longest) return wrong(`more than ${longest} octets`);
  if (octets.length < length) return unfinished;
  if (command === 0x20 || family === 0x00) return { kind: "header", length }; // LOCAL, for health checks, and UNSPEC
  const addresses = octets.subarray(16, length);
  if (family === 0x11 && addresses.length >= 12) {
    return { kind: "header", length, client: [...addresses.subarray(0, 4)].join(".") };
  }
  if (family === 0x21 && addresses.length >= 36) {
    const groups = addresses.toString("hex", 0, 16).match(/.{4}/g) ?? [];
    return { kind: "header", length, client: canonical(groups.join(":")) };
  }
  return wrong("no TCP over IPv4 or IPv6, or too short for it");
}

/** An address in its canonical form. */
function canonical(address: string): string {
  return new SocketAddress({ address, family: isIPv6(address) ? "ipv6" : "ipv4" }).address;
}

function wrong(reason: string): ProxyHeaderResult {
  return { kind: "wrong", reason };
}

/** An IP network. A single address has a `prefix` of 32 or 128 bits. */
export interface IpNetwork {
  readonly address: string;
  readonly prefix: number;
}

/** Whether an IP address (an IPv4 one without "::ffff:") is in one of `networks`. */
export function inNetworks(networks: readonly IpNetwork[]): (address: string) => boolean {
  const list = new BlockList();
  for (const { address, prefix } of networks) list.addSubnet(address, prefix, familyOf(address));
  return (address) => list.check(address, familyOf(address));
}

const familyOf = (address: string): "ipv6" | "ipv4" => (isIPv6(address) ? "ipv6" : "ipv4");

/**
 * Reads the header from `socket`, where it must come within `timeout` milliseconds. What follows it stays there.
 * Resolves with what was found, which is never "unfinished"; with undefined where the proxy closed without sending
 * anything, as health checks do.
 */
export function takeProxyHeader(socket: Socket, timeout: number): Promise<ProxyHeaderResult | undefined> {
  return new Promise((resolve) => {
    let octets = Buffer.alloc(0);

    function end(found: ProxyHeaderResult | undefined): void {
      clearTimeout(timer);
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
    const timer = setTimeout(() => end({ kind: "wrong", reason: "it did not come in time" }), timeout);
    socket.on("readable", read).on("end", gone).on("close", gone);
  });
}
