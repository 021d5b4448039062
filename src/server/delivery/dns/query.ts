/**
 * Queries to one name server, over UDP, and over TCP if the response does not fit (RFC 1035 section 4.2, RFC 7766).
 * Each query has its own socket, so its own port, and its own ID (RFC 5452 section 9.2).
 */
import { randomInt } from "node:crypto";
import { createSocket } from "node:dgram";
import { connect, isIPv6 } from "node:net";
import { errorCode } from "../../../failure.ts";
import {
  type DnsQuestion,
  type DnsResponse,
  type RecordType,
  readResponse,
  writeQuestion,
} from "./message.ts";

/** Where the name server listens. */
export interface NameServerAddress {
  /** IP address. */
  readonly host: string;
  readonly port: number;
}

/** Milliseconds for one try, and the number of tries: the same that c-ares gets from us. */
export interface QueryLimits {
  readonly timeout: number;
  readonly tries: number;
}

/** Why there is no response, as node:dns's error code; EBADNAME is an invalid name. */
export interface NoDnsResponse {
  readonly trouble: string;
}

/** Asks for records of `name`. Never rejects for a failure of the name server or the network. */
export type DnsQuery = (name: string, type: RecordType) => Promise<DnsResponse | NoDnsResponse>;

const standard: QueryLimits = { timeout: 5000, tries: 3 };

/** The queries to the name server at `server`. */
export function nameServer(server: NameServerAddress, patience: QueryLimits = standard): DnsQuery {
  return async (name, type) => {
    let last: DnsResponse | NoDnsResponse = { trouble: "ETIMEOUT" };
    for (let tries = patience.tries; tries > 0; tries--) {
      const question = { id: randomInt(0x1_0000), name, type };
      const octets = writeQuestion(question);
      if (octets === undefined) return { trouble: "EBADNAME" };
      last = await overUdp(server, octets, question, patience.timeout);
      if ("truncated" in last && last.truncated)
        last = await overTcp(server, octets, question, patience.timeout);
      if (!("trouble" in last) || last.trouble !== "ETIMEOUT") return last;
    }
    return last;
  };
}

/** One try: `start` begins it and calls `finish` with the response; the function it returns is called at the end. */
function withinTime(
  timeout: number,
  start: (finish: (result: DnsResponse | NoDnsResponse) => void) => () => void,
): Promise<DnsResponse | NoDnsResponse> {
  return new Promise((resolve) => {
    let done = false;
    const finish = (result: DnsResponse | NoDnsResponse): void => {
      if (done) return;
      done = true;
      clearTimeout(timer);
      stop();
      resolve(result);
    };
    const timer = setTimeout(() => finish({ trouble: "ETIMEOUT" }), timeout);
    const stop = start(finish);
  });
}

function overUdp(
  { host, port }: NameServerAddress,
  octets: Buffer,
  question: DnsQuestion,
  timeout: number,
): Promise<DnsResponse | NoDnsResponse> {
  return withinTime(timeout, (finish) => {
    const socket = createSocket(isIPv6(host) ? "udp6" : "udp4");
    socket.on("error", (error) => finish({ trouble: errorCode(error) }));
    socket.on("message", (message) => {
      const response = readResponse(message, question);
      if (response) finish(response); // anything else may be forged: the right one may still come
    });
    // A connected socket ignores other senders, and learns of a closed port at once.
    socket.once("connect", () => socket.send(octets));
    socket.connect(port, host);
    return () => socket.close();
  });
}

function overTcp(
  { host, port }: NameServerAddress,
  octets: Buffer,
  question: DnsQuestion,
  timeout: number,
): Promise<DnsResponse | NoDnsResponse> {
  return withinTime(timeout, (finish) => {
    const socket = connect(port, host);
    const whole = messageReader();
    socket.on("error", (error) => finish({ trouble: errorCode(error) }));
    socket.on("close", () => finish({ trouble: "ECONNRESET" }));
    socket.on("data", (piece: Buffer) => {
      const message = whole(piece);
      if (message === undefined) return;
      const response = readResponse(message, question);
      finish(response && !response.truncated ? response : { trouble: "EBADRESP" });
    });
    socket.write(Buffer.concat([Buffer.of(octets.length >> 8, octets.length & 0xff), octets]));
    return () => socket.destroy();
  });
}

/**
 * Reads a message that comes over TCP, behind two octets of length (RFC 1035 section 4.2.2): takes piece after piece
 * and returns the message when it is complete. The pieces are joined only once, however small they are.
 */
export function messageReader(): (piece: Buffer) => Buffer | undefined {
  const pieces: Buffer[] = [];
  let size = 0;
  let wanted: number | undefined;
  return (piece) => {
    pieces.push(piece);
    size += piece.length;
    if (size < 2) return undefined;
    wanted ??= 2 + Buffer.concat(pieces).readUInt16BE(0);
    return size < wanted ? undefined : Buffer.concat(pieces).subarray(2, wanted);
  };
}
