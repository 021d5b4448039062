/** Connections through a proxy: SOCKS 5 (RFC 1928, RFC 1929) and HTTP CONNECT (RFC 9110 section 9.3.6). */
import { isIP, isIPv4, isIPv6, type Socket } from "node:net";

export interface ProxyServer {
  /** With socks5h the proxy resolves the name, with socks5 we do. */
  readonly kind: "socks5" | "socks5h" | "http";
  readonly host: string;
  readonly port: number;
  readonly user?: string;
  readonly password?: string;
}

const usualPorts = { socks5: 1080, socks5h: 1080, http: 8080 } as const;

/** Reads "socks5h://USER:PASSWORD@HOST:PORT"; undefined for anything else. */
export function parseProxy(text: string): ProxyServer | undefined {
  const parts =
    /^(socks5h?|http):\/\/(?:([^:@/]*)(?::([^@/]*))?@)?(\[[^\]]+\]|[^:/@[\]]+)(?::(\d{1,5}))?\/?$/i.exec(
      text,
    );
  if (parts === null) return undefined;
  const [, scheme = "", user, password = "", host = "", port] = parts;
  const kind = scheme.toLowerCase() as ProxyServer["kind"];
  return {
    kind,
    host: host.replace(/^\[|\]$/g, ""),
    port: port === undefined ? usualPorts[kind] : Number(port),
    ...(user === undefined ? {} : { user: unescaped(user), password: unescaped(password) }),
  };
}

/** Decodes "%40" to "@"; other text stays as it is. */
function unescaped(text: string): string {
  return text.replace(/(?:%[0-9a-f]{2})+/gi, (codes) =>
    Buffer.from(codes.replaceAll("%", ""), "hex").toString("utf8"),
  );
}

/** Makes the proxy at the other end of `socket` connect to `host`. Rejects with the proxy's reason. */
export async function connectThroughProxy(
  socket: Socket,
  proxy: ProxyServer,
  host: string,
  port: number,
): Promise<void> {
  if (proxy.kind === "http") return connectOverHttp(socket, proxy, host, port);
  await logIn(socket, proxy);
  const name = proxy.kind === "socks5" && isIP(host) === 0 ? await lookedUp(host) : host;
  socket.write(Buffer.concat([Buffer.of(5, 1, 0), addressOf(name), Buffer.of(port >> 8, port & 255)]));
  const answer = await readUntil(socket, socksAnswerLength, 300);
  const code = answer[1] ?? 1;
  if (code !== 0) throw new Error(`SOCKS: ${socksTroubles[code] ?? `the proxy's code is ${code}`}`);
}

async function logIn(socket: Socket, { user, password = "" }: ProxyServer): Promise<void> {
  socket.write(user === undefined ? Buffer.of(5, 1, 0) : Buffer.of(5, 2, 0, 2));
  const [version, method] = await readUntil(socket, () => 2, 2);
  if (version !== 5) throw new Error("the proxy does not speak SOCKS 5");
  if (method === 0) return;
  if (method !== 2 || user === undefined) throw new Error("SOCKS: the proxy wants another way to log in");
  socket.write(Buffer.concat([Buffer.of(1), lengthPrefixed(user), lengthPrefixed(password)]));
  const answer = await readUntil(socket, () => 2, 2);
  if (answer[1] !== 0) throw new Error("SOCKS: the proxy refused the login");
}

/** A text behind its length in one octet. */
function lengthPrefixed(text: string): Buffer {
  const octets = Buffer.from(text).subarray(0, 255);
  return Buffer.concat([Buffer.of(octets.length), octets]);
}

function addressOf(host: string): Buffer {
  if (isIPv4(host)) return Buffer.from([1, ...host.split(".").map(Number)]);
  if (isIPv6(host)) return Buffer.concat([Buffer.of(4), ipv6Octets(host)]);
  return Buffer.concat([Buffer.of(3), lengthPrefixed(host)]);
}

function ipv6Octets(address: string): Buffer {
  // The URL parser writes any form of it in hexadecimal groups (WHATWG URL, "IPv6 serializer").
  const written = new URL(`http://[${address.split("%", 1)[0]}]`).hostname.slice(1, -1);
  const [left = "", right] = written.split("::");
  const groups = (text: string): string[] => (text === "" ? [] : text.split(":"));
  const tail = right === undefined ? [] : groups(right);
  const head = groups(left);
  const all = [...head, ...Array<string>(8 - head.length - tail.length).fill("0"), ...tail];
  return Buffer.from(all.map((group) => group.padStart(4, "0")).join(""), "hex");
}

/** VER REP RSV ATYP, the address, two octets of port. */
function socksAnswerLength(read: Buffer): number | undefined {
  const [, code, , type, first] = read;
  if (code !== undefined && code !== 0) return 2;
  if (type === 1) return 10;
  if (type === 4) return 22;
  return type === 3 && first !== undefined ? 7 + first : undefined;
}

/** RFC 1928 section 6. */
const socksTroubles: Readonly<Record<number, string>> = {
  1: "general failure",
  2: "not allowed by the proxy's rules",
  3: "network unreachable",
  4: "host unreachable",
  5: "connection refused",
  6: "time to live expired",
  7: "command not supported",
  8: "address type not supported",
};

async function connectOverHttp(
  socket: Socket,
  proxy: ProxyServer,
  host: string,
  port: number,
): Promise<void> {
  const target = `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  const login = Buffer.from(`${proxy.user ?? ""}:${proxy.password ?? ""}`).toString("base64");
  const lines = [
    `CONNECT ${target} HTTP/1.1`,
    `Host: ${target}`,
    ...(proxy.user === undefined ? [] : [`Proxy-Authorization: Basic ${login}`]),
  ];
  socket.write(`${lines.join("\r\n")}\r\n\r\n`);
  const answer = await readUntil(socket, headLength, 16_384);
  const [first = ""] = answer.toString("latin1").split("\r\n");
  if (!/^HTTP\/1\.[01] 2\d\d(?: |$)/.test(first)) throw new Error(`HTTP CONNECT: ${shown(first)}`);
}

function headLength(read: Buffer): number | undefined {
  const at = read.indexOf("\r\n\r\n");
  return at < 0 ? undefined : at + 4;
}

/** A line from outside, safe for an error message. */
function shown(line: string): string {
  return line.replace(/[^\x20-\x7e]/g, "?").slice(0, 200);
}

/**
 * Reads octets until `enough` returns how many belong to the answer; puts back the rest. Rejects if the socket ends.
 */
async function readUntil(
  socket: Socket,
  enough: (read: Buffer) => number | undefined,
  most: number,
): Promise<Buffer> {
  let read = Buffer.alloc(0);
  for (;;) {
    const length = enough(read);
    if (length !== undefined && length <= read.length) {
      if (length < read.length) socket.unshift(read.subarray(length));
      return read.subarray(0, length);
    }
    if (read.length > most) throw new Error("the proxy's answer is too long");
    read = Buffer.concat([read, await nextPiece(socket)]);
  }
}

function nextPiece(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const take = (piece: Buffer): void => settle(() => resolve(piece));
    const end = (): void => settle(() => reject(new Error("the proxy closed the connection")));
    const fail = (error: Error): void => settle(() => reject(error));
    const settle = (act: () => void): void => {
      socket.pause();
      socket.off("data", take).off("end", end).off("close", end).off("error", fail);
      act();
    };
    socket.on("data", take).on("end", end).on("close", end).on("error", fail).resume();
  });
}

async function lookedUp(host: string): Promise<string> {
  const { lookup } = await import("node:dns/promises");
  return (await lookup(host)).address;
}
