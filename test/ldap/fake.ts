/** A directory that misbehaves on purpose: it reads requests and answers what a test tells it to, octet by octet. */
import { type AddressInfo, createServer, type Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";

/** The tags of RFC 4511 that the tests meet. */
export const tag = {
  bind: 0x60,
  bindDone: 0x61,
  search: 0x63,
  entry: 0x64,
  searchDone: 0x65,
  unbind: 0x42,
  extended: 0x77,
  extendedDone: 0x78,
  intermediate: 0x79,
} as const;

export interface Request {
  readonly id: number;
  readonly tag: number;
  readonly body: Buffer;
}

export interface Fake {
  readonly url: string;
  /** How many came. */
  connections(): number;
  close(): Promise<void>;
}

/** Answers each request as `answer` does; what it does not answer waits for ever. */
export async function startFake(answer: (request: Request, socket: Socket) => void): Promise<Fake> {
  const sockets = new Set<Socket>();
  let connections = 0;
  const server = createServer((socket) => {
    connections += 1;
    sockets.add(socket);
    listenOn(socket, answer);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return {
    url: `ldap://127.0.0.1:${port}`,
    connections: () => connections,
    close: () =>
      new Promise((resolve) => {
        for (const socket of sockets) socket.destroy();
        server.close(() => resolve());
      }),
  };
}

function listenOn(socket: Socket, answer: (request: Request, socket: Socket) => void): void {
  let buffer = Buffer.alloc(0);
  socket.on("error", () => socket.destroy());
  socket.on("data", (chunk) => {
    buffer = Buffer.concat([buffer, chunk]);
    for (let next = take(buffer); next !== undefined; next = take(buffer)) {
      buffer = buffer.subarray(next.size);
      answer(next.request, socket);
    }
  });
}

/** Turns a connection into TLS on the server's side; requests are answered by `answer` from then on. */
export function secureFake(
  socket: Socket,
  context: SecureContext,
  answer: (request: Request, socket: Socket) => void,
): void {
  socket.removeAllListeners("data");
  listenOn(new TLSSocket(socket, { isServer: true, secureContext: context }), answer);
}

/** An LDAPMessage: the id, and one operation of `kind` around `parts`. */
export function message(id: number, kind: number, ...parts: readonly Buffer[]): Buffer {
  return ber(0x30, ber(0x02, Buffer.from([id])), ber(kind, ...parts));
}

/** An LDAPResult with this code and the text `words`. */
export function result(code: number, words = ""): readonly Buffer[] {
  return [ber(0x0a, Buffer.from([code])), text(""), text(words)];
}

/** A SearchResultEntry with one attribute. */
export function entry(
  id: number,
  dn: string,
  attribute: string,
  ...values: readonly (string | Buffer)[]
): Buffer {
  const set = ber(0x31, ...values.map((value) => ber(0x04, Buffer.from(value))));
  return message(id, tag.entry, text(dn), ber(0x30, ber(0x30, text(attribute), set)));
}

export const text = (value: string): Buffer => ber(0x04, Buffer.from(value));

export function ber(kind: number, ...parts: readonly Buffer[]): Buffer {
  const content = Buffer.concat(parts);
  const length = content.length < 128 ? [content.length] : [0x82, content.length >> 8, content.length & 255];
  return Buffer.concat([Buffer.from([kind, ...length]), content]);
}

/** The first whole message in `buffer`; requests here are small. */
function take(buffer: Buffer): { readonly request: Request; readonly size: number } | undefined {
  if (buffer.length < 2 || buffer[0] !== 0x30) return undefined; // TLS begins otherwise
  const long = (buffer[1] ?? 0) & 0x80 ? (buffer[1] ?? 0) & 0x7f : 0;
  const length = long === 0 ? (buffer[1] ?? 0) : buffer.readUIntBE(2, long);
  const from = 2 + long;
  if (buffer.length < from + length) return undefined;
  const idLength = buffer[from + 1] ?? 1;
  const id = buffer.readUIntBE(from + 2, idLength);
  const at = from + 2 + idLength;
  const body = buffer.subarray(at + 2, from + length);
  return { request: { id, tag: buffer[at] ?? 0, body }, size: from + length };
}
