/**
 * The probe itself as the receiving end, for closed tests: a server that takes mail by SMTP or LMTP, keeps the
 * beginning of what has a mark and drops the rest. It has only what a sending server needs, and limits against hostile
 * ones.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { errorText, exitStatus, Failure } from "../../failure.ts";
import { type FoundMessage, type Mailbox, meetsCriteria, mostMessages, mostOctets } from "./mailbox.ts";

export interface ListenerMailbox extends Mailbox {
  /** The port that it listens at, also where 0 was asked for. */
  readonly port: number;
}

/** Our choices: no correct sender comes near. */
const longestLine = 4096;
const mostConnections = 50;
const mostRecipients = 1000;
const mostUnread = 64 * 1024;
const silence = 300_000;

/** Listens at once. Throws a Failure where the address cannot be used. `now` is in milliseconds since the epoch. */
export async function openListener(
  {
    protocol,
    host,
    port,
  }: { readonly protocol: "smtp" | "lmtp"; readonly host: string; readonly port: number },
  now: () => number,
): Promise<ListenerMailbox> {
  const kept: FoundMessage[] = [];
  const sockets = new Set<Socket>();
  const keep = (octets: Buffer, size: number): void => {
    if (!meetsCriteria(octets, { mark: () => true, report: () => true })) return;
    kept.push({ place: "inbox", folder: `${protocol}://${host}:${port}`, at: now(), octets, size });
    if (kept.length > mostMessages) kept.shift();
  };
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => socket.destroy()).on("close", () => sockets.delete(socket));
    socket.setTimeout(silence, () => socket.destroy());
    receive(socket, protocol, keep);
  });
  server.maxConnections = mostConnections;
  try {
    server.listen(port, host);
    await once(server, "listening");
  } catch (error) {
    throw new Failure(exitStatus.unavailable, `cannot listen at ${host}:${port}: ${errorText(error)}`);
  }
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : port,
    look: async (_, wanted) => kept.splice(0).filter(({ octets }) => meetsCriteria(octets, wanted)),
    tidy: async () => 0, // nothing is kept after a look
    async close() {
      server.close();
      for (const socket of sockets) socket.destroy();
    },
  };
}

/** What a session is reading: commands, or a message, whose beginning is kept and whose rest is counted. */
type ReceiverState =
  | { readonly kind: "commands" }
  | { readonly kind: "message"; kept: Buffer[]; held: number; size: number; amidLine: boolean };

function receive(
  socket: Socket,
  protocol: "smtp" | "lmtp",
  keep: (octets: Buffer, size: number) => void,
): void {
  let rest: Buffer = Buffer.alloc(0);
  let recipients = 0;
  let state: ReceiverState = { kind: "commands" };

  function say(line: string): void {
    if (!socket.writable) return;
    socket.write(`${line}\r\n`);
    if (socket.writableLength > mostUnread) socket.destroy(); // it sends commands and never reads the replies
  }

  function command(line: string): void {
    const verb = line.slice(0, 4).toUpperCase();
    if (verb === "EHLO" || verb === "HELO" || verb === "LHLO")
      say("250-probe\r\n250-8BITMIME\r\n250-SMTPUTF8\r\n250 PIPELINING");
    else if (verb === "MAIL" || verb === "RSET" || verb === "NOOP") {
      recipients = verb === "NOOP" ? recipients : 0;
      say("250 2.0.0 Ok");
    } else if (verb === "RCPT" && recipients === mostRecipients) {
      say("452 4.5.3 Too many recipients");
    } else if (verb === "RCPT") {
      recipients++;
      say("250 2.1.5 Ok");
    } else if (verb === "DATA" && recipients > 0) {
      state = { kind: "message", kept: [], held: 0, size: 0, amidLine: false };
      say("354 End with a dot");
    } else if (verb === "QUIT") {
      say("221 2.0.0 Bye");
      socket.end();
    } else say(verb === "DATA" ? "503 5.5.1 No recipients" : "502 5.5.1 Not here");
  }

  function messageLine(message: Extract<ReceiverState, { kind: "message" }>, line: Buffer): void {
    if (!message.amidLine && line.equals(end)) {
      keep(Buffer.concat(message.kept), message.size);
      for (let count = protocol === "lmtp" ? recipients : 1; count > 0; count--) say("250 2.0.0 Arrived");
      state = { kind: "commands" };
      recipients = 0;
      return;
    }
    const plain = !message.amidLine && line[0] === 0x2e ? line.subarray(1) : line;
    message.amidLine = line.at(-1) !== 0x0a;
    message.size += plain.length;
    if (message.held >= mostOctets) return;
    const part = Buffer.from(plain.subarray(0, mostOctets - message.held));
    message.kept.push(part);
    message.held += part.length;
  }

  say("220 probe ESMTP");
  socket.on("data", (chunk: Buffer) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    for (let at = rest.indexOf("\r\n"); at >= 0; at = rest.indexOf("\r\n")) {
      const line = rest.subarray(0, at + 2);
      rest = rest.subarray(at + 2);
      if (state.kind === "message") messageLine(state, line);
      else command(line.toString("latin1", 0, at));
    }
    if (rest.length <= longestLine) return;
    if (state.kind === "message") {
      messageLine(state, rest.subarray(0, -1)); // the last octet may be the CR of a line's end
      rest = Buffer.from(rest.subarray(-1));
    } else {
      say("500 5.5.2 Line too long");
      socket.destroy();
    }
  });
}

const end = Buffer.from(".\r\n");
