/**
 * A name server on loopback that answers from a table over UDP: MX, TXT, A and AAAA, as much of RFC 1035 as the relay
 * asks, and SRV (RFC 2782), which mail programs ask for.
 */
import { createSocket } from "node:dgram";
import { once } from "node:events";

/** What there is of one name. A name that is in no table does not exist. */
export interface Records {
  /** Priority and host; "" for the null MX (RFC 7505). */
  readonly mx?: readonly (readonly [priority: number, host: string])[];
  readonly srv?: readonly { readonly port: number; readonly host: string }[];
  readonly a?: readonly string[];
  /** Each one text, in several strings where it is longer than 255 octets. */
  readonly txt?: readonly string[];
  /** Written out: eight groups. */
  readonly aaaa?: readonly string[];
  /** Usage, selector, matching type and digest, in hex. */
  readonly tlsa?: readonly string[];
  /** Whether the answer says that signatures prove it. */
  readonly authentic?: boolean;
  /** In place of records: "servfail", or no answer at all. */
  readonly fault?: "servfail" | "silence";
}

export interface NameServer {
  /** `127.0.0.1:PORT` */
  readonly address: string;
  /** Names asked for so far, with the type: "MX example.net". */
  readonly asked: readonly string[];
  close(): Promise<void>;
}

const types = new Map([
  [1, "A"],
  [15, "MX"],
  [16, "TXT"],
  [28, "AAAA"],
  [33, "SRV"],
  [52, "TLSA"],
]);

/**
 * Serves `zone`, names in lower case without a dot at the end; the table may be changed while it runs. On a free port,
 * unless it must be one that a program asks without being told.
 */
export async function nameServer(
  zone: Map<string, Records>,
  at: { readonly address: string; readonly port: number } = { address: "127.0.0.1", port: 0 },
): Promise<NameServer> {
  const socket = createSocket("udp4");
  const asked: string[] = [];
  socket.on("message", (query, { address, port }) => {
    const { name, end } = readName(query, 12);
    const type = query.readUInt16BE(end);
    asked.push(`${types.get(type) ?? type} ${name}`);
    const found = zone.get(name.toLowerCase());
    if (found?.fault === "silence") return;
    const records = found ? recordsOf(found, type) : [];
    const code = found ? (found.fault === "servfail" ? 2 : 0) : 3;
    const flags = code | (found?.authentic ? 0x20 : 0);
    socket.send(response(query.subarray(0, end + 4), flags, type, records), port, address);
  });
  socket.bind(at.port, at.address);
  await once(socket, "listening");
  return {
    address: `${at.address}:${socket.address().port}`,
    asked,
    close: () => new Promise((resolve) => socket.close(() => resolve())),
  };
}

function recordsOf(
  { mx = [], srv = [], txt = [], a = [], aaaa = [], tlsa = [] }: Records,
  type: number,
): readonly Buffer[] {
  switch (types.get(type)) {
    case "A":
      return a.map((address) => Buffer.from(address.split(".").map(Number)));
    case "AAAA":
      return aaaa.map((address) =>
        Buffer.from(
          address
            .split(":")
            .map((group) => group.padStart(4, "0"))
            .join(""),
          "hex",
        ),
      );
    case "MX":
      return mx.map(([priority, host]) => Buffer.concat([uint16(priority), writeName(host)]));
    case "TXT":
      return txt.map((text) => Buffer.concat((text.match(/.{1,255}/g) ?? [""]).map(writeString)));
    case "SRV":
      return srv.map(({ port, host }) => Buffer.concat([...[0, 1, port].map(uint16), writeName(host)]));
    case "TLSA":
      return tlsa.map((data) => Buffer.from(data, "hex"));
    default:
      return [];
  }
}

/** The question again, and the records as answers to it. */
function response(question: Buffer, flags: number, type: number, records: readonly Buffer[]): Buffer {
  const header = Buffer.concat([
    question.subarray(0, 2),
    uint16(0x8580 | flags), // a response, authoritative, recursion wanted and had
    ...[1, records.length, 0, 0].map(uint16),
  ]);
  const answers = records.map((data) =>
    Buffer.concat([
      uint16(0xc00c), // the name of the question
      ...[type, 1, 0, 60].map(uint16), // class IN, a minute to live
      uint16(data.length),
      data,
    ]),
  );
  return Buffer.concat([header, question.subarray(12), ...answers]);
}

const writeString = (text: string): Buffer =>
  Buffer.concat([Buffer.from([text.length]), Buffer.from(text, "latin1")]);

function uint16(value: number): Buffer {
  return Buffer.from([value >> 8, value & 255]);
}

function writeName(name: string): Buffer {
  const labels = name.split(".").filter((label) => label !== "");
  return Buffer.from(
    [...labels.map((label) => `${String.fromCharCode(label.length)}${label}`), "\0"].join(""),
  );
}

function readName(message: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let at = start;
  for (let length = message.readUInt8(at); length > 0; length = message.readUInt8(at)) {
    labels.push(message.toString("latin1", at + 1, at + 1 + length));
    at += 1 + length;
  }
  return { name: labels.join("."), end: at + 1 };
}
