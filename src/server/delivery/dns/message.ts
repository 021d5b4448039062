/**
 * DNS messages, octet by octet (RFC 1035 section 4, RFC 6891): the queries and responses that routing and DANE need.
 * Pure. A response may come from anybody, so whatever does not match the query is ignored.
 */

/** The record types that we ask for, with their numbers (TLSA: RFC 6698 section 7.1). */
const typeNumbers = { A: 1, CNAME: 5, MX: 15, TXT: 16, AAAA: 28, TLSA: 52 } as const;

export type RecordType = keyof typeof typeNumbers;

export interface DnsQuestion {
  /** 0-65535, unpredictable. */
  readonly id: number;
  /** ASCII, without the final dot. */
  readonly name: string;
  readonly type: RecordType;
}

/** A record's data, by its type. */
export type RecordData =
  | { readonly type: "A" | "AAAA"; readonly address: string }
  | { readonly type: "CNAME"; readonly target: string }
  | { readonly type: "MX"; readonly exchange: string; readonly priority: number }
  | { readonly type: "TXT"; readonly text: string }
  | { readonly type: "TLSA"; readonly tlsa: TlsaRecord };

export interface ResourceRecord {
  /** In lower case, without the final dot; octets that no host name has as \DDD (RFC 1035 section 5.1). */
  readonly name: string;
  /** Seconds. */
  readonly ttl: number;
  readonly data: RecordData;
}

export interface DnsResponse {
  /** The response did not fit: ask again over TCP. */
  readonly truncated: boolean;
  /** The AD bit: the resolver says that signatures prove all of this (RFC 4035 section 3.2.3). */
  readonly authentic: boolean;
  /** RCODE: 0, or why there are no records. */
  readonly code: number;
  /** The answer section, without records of other types. */
  readonly records: readonly ResourceRecord[];
}

const flag = {
  response: 0x8000,
  opcode: 0x7800,
  truncated: 0x0200,
  recursion: 0x0100,
  authentic: 0x0020,
} as const;

const internet = 1;
const opt = 41;
/** RFC 6891 section 6.2.5; small enough not to be fragmented in any network. */
const largestDatagram = 1232;
const dnssecOk = 0x8000;

/** RFC 1035 section 2.3.4, in octets of the message. */
const longestName = 255;
const longestLabel = 63;
/** A name has no more labels, so it needs no more pointers; without a limit, each record could follow thousands. */
const mostPointers = 127;

/** The query as it is sent; undefined if the name is invalid. */
export function writeQuestion({ id, name, type }: DnsQuestion): Buffer | undefined {
  const labels = name.split(".");
  const written = Buffer.concat([
    ...labels.map((label) =>
      Buffer.concat([Buffer.from([label.length & 0xff]), Buffer.from(label, "latin1")]),
    ),
    Buffer.of(0),
  ]);
  const fits = labels.every(
    (label) => label.length > 0 && label.length <= longestLabel && /^[!-~]+$/.test(label),
  );
  if (!fits || written.length > longestName) return undefined;
  return Buffer.concat([
    // The AD bit asks for the AD bit in the response (RFC 6840 section 5.7); older resolvers need DO.
    uint16s(id, flag.recursion | flag.authentic, 1, 0, 0, 1),
    written,
    uint16s(typeNumbers[type], internet),
    Buffer.of(0), // OPT belongs to the root
    uint16s(opt, largestDatagram, 0, dnssecOk, 0),
  ]);
}

/**
 * The response to `question` in `message`; undefined if it answers something else or is malformed. Of a truncated one,
 * only the header is read.
 */
export function readResponse(message: Buffer, question: DnsQuestion): DnsResponse | undefined {
  try {
    return read(message, question);
  } catch (error) {
    if (error instanceof RangeError) return undefined; // it ends too early, or a name in it is malformed
    throw error;
  }
}

function read(message: Buffer, { id, name, type }: DnsQuestion): DnsResponse | undefined {
  const flags = message.readUInt16BE(2);
  const [questions, answers] = [message.readUInt16BE(4), message.readUInt16BE(6)];
  const reply = (flags & (flag.response | flag.opcode)) === flag.response;
  if (!reply || message.readUInt16BE(0) !== id || questions !== 1) return undefined;
  const asked = nameAt(message, 12);
  const kind = message.readUInt16BE(asked.end);
  const area = message.readUInt16BE(asked.end + 2);
  if (asked.name !== name.toLowerCase() || kind !== typeNumbers[type] || area !== internet) return undefined;

  const truncated = (flags & flag.truncated) !== 0;
  const records: ResourceRecord[] = [];
  for (let at = asked.end + 4, left = truncated ? 0 : answers; left > 0; left--) {
    const owner = nameAt(message, at);
    const from = owner.end + 10;
    const length = message.readUInt16BE(owner.end + 8);
    if (from + length > message.length) throw new RangeError("a record beyond the end");
    const ofInternet = message.readUInt16BE(owner.end + 2) === internet;
    const data = ofInternet
      ? dataAt(message, message.readUInt16BE(owner.end), from, from + length)
      : undefined;
    if (data) records.push({ name: owner.name, ttl: message.readUInt32BE(owner.end + 4), data });
    at = from + length;
  }
  return { truncated, authentic: (flags & flag.authentic) !== 0, code: flags & 0xf, records };
}

/** The data between `from` and `end`; undefined for types that we do not ask for, such as signatures. */
function dataAt(message: Buffer, number: number, from: number, end: number): RecordData | undefined {
  const data = message.subarray(from, end);
  switch (number) {
    case typeNumbers.A:
      return { type: "A", address: Array.from(exactly(4, data)).join(".") };
    case typeNumbers.AAAA:
      return { type: "AAAA", address: ipv6(exactly(16, data)) };
    case typeNumbers.CNAME:
      return { type: "CNAME", target: nameWithin(message, from, end) };
    case typeNumbers.MX:
      return { type: "MX", priority: data.readUInt16BE(0), exchange: nameWithin(message, from + 2, end) };
    case typeNumbers.TXT:
      return { type: "TXT", text: joined(data) };
    case typeNumbers.TLSA: {
      const [usage, selector, matching] = [0, 1, 2].map((at) => data.readUInt8(at)) as [
        number,
        number,
        number,
      ];
      return { type: "TLSA", tlsa: { usage, selector, matching, data: Uint8Array.from(data.subarray(3)) } };
    }
    default:
      return undefined;
  }
}

/** The strings of a TXT record (RFC 1035 section 3.3.14), joined. */
function joined(data: Buffer): string {
  const parts: string[] = [];
  for (let at = 0; at < data.length; ) {
    const end = at + 1 + data.readUInt8(at);
    if (end > data.length) throw new RangeError("a text beyond the end");
    parts.push(data.toString("latin1", at + 1, end));
    at = end;
  }
  return parts.join("");
}

function exactly(length: number, data: Buffer): Buffer {
  if (data.length !== length) throw new RangeError("an address of a wrong length");
  return data;
}

/** As node:dns writes it: groups without leading zeros, the longest run of zero groups as "::" (RFC 5952). */
function ipv6(data: Buffer): string {
  const groups = Array.from({ length: 8 }, (_, at) => data.readUInt16BE(2 * at).toString(16)).join(":");
  const zeros = [...groups.matchAll(/\b0(?::0)+\b/g)].sort((a, b) => b[0].length - a[0].length)[0];
  if (!zeros) return groups;
  const [before, after] = [groups.slice(0, zeros.index), groups.slice(zeros.index + zeros[0].length)];
  return `${before.replace(/:$/, "")}::${after.replace(/^:/, "")}`;
}

function nameWithin(message: Buffer, from: number, end: number): string {
  const { name, end: stop } = nameAt(message, from);
  if (stop !== end) throw new RangeError("a name that does not fill its record");
  return name;
}

/**
 * The name at `start`, and the offset behind it. Throws a RangeError if it leaves the message, is too long, has too
 * many pointers, or has one that does not point back (RFC 1035 section 4.1.4), so that there are no loops.
 */
function nameAt(message: Buffer, start: number): { readonly name: string; readonly end: number } {
  const labels: string[] = [];
  let end: number | undefined;
  let wire = 1;
  let pointers = 0;
  let from = start;
  for (let at = start; ; ) {
    const length = message.readUInt8(at);
    if (length === 0) return { name: labels.join("."), end: end ?? at + 1 };
    if (length >= 0xc0) {
      const target = message.readUInt16BE(at) & 0x3fff;
      if (target >= from) throw new RangeError("a name that points forward");
      if (++pointers > mostPointers) throw new RangeError("a name of pointers");
      end ??= at + 2;
      from = target;
      at = target;
      continue;
    }
    wire += length + 1;
    if (length > longestLabel || wire > longestName || at + 1 + length > message.length) {
      throw new RangeError("a name that is too long");
    }
    labels.push(presentationForm(message.toString("latin1", at + 1, at + 1 + length)));
    at += 1 + length;
  }
}

/** A label in lower case; octets that would be misread, above all dots, as \DDD. */
const presentationForm = (label: string): string =>
  label
    .toLowerCase()
    .replace(/[^!-~]|[.\\]/g, (sign) => `\\${sign.charCodeAt(0).toString().padStart(3, "0")}`);

const uint16s = (...values: readonly number[]): Buffer =>
  Buffer.from(values.flatMap((value) => [value >> 8, value & 0xff]));

/** RFC 6698 section 2.1. */
export interface TlsaRecord {
  readonly usage: number;
  readonly selector: number;
  readonly matching: number;
  readonly data: Uint8Array;
}
