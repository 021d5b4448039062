/**
 * An SMTP or LMTP server that says what a test tells it to: a table of what to answer to each command,
 * and the faults of real servers: hanging up, falling silent, talking nonsense, failing handshakes.
 */
import { createServer, type Socket } from "node:net";
import { type SecureContext, TLSSocket } from "node:tls";

/**
 * What is said (CRLF added, unless it ends in "\\"; several lines joined by LF), and the fault that follows,
 * or stands in its place.
 */
export interface Act {
  readonly say?: string;
  /** "trickle" begins a reply of ever more lines, and never ends it. */
  readonly fault?: "close" | "reset" | "silence" | "trickle";
  /** Only when the next command has come. */
  readonly late?: boolean;
}

export type Reaction = string | Act;

export const close: Reaction = { fault: "close" };
export const reset: Reaction = { fault: "reset" };
export const silence: Reaction = { fault: "silence" };

/** A list is used up one by one, its last stays; a function sees the command's argument. */
export type Rule = Reaction | readonly Reaction[] | ((argument: string) => Reaction);

/** When things are said. "message" is the answer to the end of data; LMTP's, once for each recipient. */
export type Moment =
  | "greeting"
  | "EHLO"
  | "HELO"
  | "LHLO"
  | "STARTTLS"
  | "handshake"
  | "AUTH"
  | "MAIL"
  | "RCPT"
  | "DATA"
  | "first-data"
  | "message"
  | "RSET"
  | "QUIT";

export type Script = { readonly [At in Moment]?: Rule };

export interface Received {
  readonly mail: string;
  readonly recipients: readonly string[];
  /** As it stood on the wire, dots unstuffed. */
  readonly message: string;
  readonly secure: boolean;
}

export interface FakeServer {
  readonly port: number;
  /** Every command line of every connection. */
  readonly commands: readonly string[];
  /** Those that came outside TLS. */
  readonly inClear: readonly string[];
  readonly received: readonly Received[];
  readonly connections: () => number;
  /** The addresses that they came from. */
  readonly clients: readonly string[];
  close(): Promise<void>;
}

export interface Options {
  readonly lmtp?: boolean;
  /** For STARTTLS; with `implicit` from the first byte. */
  readonly tls?: SecureContext;
  readonly implicit?: boolean;
  /** Where to listen, if not on a free port of 127.0.0.1. */
  readonly at?: { readonly host: string; readonly port: number };
}

const hello = "250-fake.example.net\n250-PIPELINING\n250-8BITMIME\n250-SMTPUTF8\n250-DSN\n250 SIZE 1000000";

const standard: { readonly [At in Moment]: Rule } = {
  greeting: "220 fake.example.net ESMTP",
  EHLO: hello,
  HELO: "250 fake.example.net",
  LHLO: hello,
  STARTTLS: "220 go ahead",
  handshake: "",
  AUTH: "235 2.7.0 welcome",
  MAIL: "250 2.1.0 sender ok",
  RCPT: "250 2.1.5 recipient ok",
  DATA: "354 go ahead",
  "first-data": "",
  message: "250 2.0.0 queued as F00",
  RSET: "250 2.0.0 ok",
  QUIT: "221 2.0.0 bye",
};

/** Listens on a free port of 127.0.0.1. */
export async function fakeServer(script: Script = {}, options: Options = {}): Promise<FakeServer> {
  const commands: string[] = [];
  const inClear: string[] = [];
  const received: Received[] = [];
  const sockets = new Set<Socket>();
  const clients: string[] = [];
  const said = new Map<Moment, number>();

  function reactionAt(moment: Moment, argument: string): Reaction {
    const rule = script[moment] ?? standard[moment];
    if (typeof rule === "function") return rule(argument);
    if (!Array.isArray(rule)) return rule as Reaction;
    const times = said.get(moment) ?? 0;
    said.set(moment, times + 1);
    return (rule[Math.min(times, rule.length - 1)] ?? silence) as Reaction;
  }

  function serve(raw: Socket): void {
    let socket = raw;
    let buffered = "";
    let data: string | undefined;
    let silent = false;
    let mail = "";
    let recipients: string[] = [];
    let loginSteps = 0;
    let late: Act | undefined;

    function react(moment: Moment, argument = ""): string {
      return act(reactionAt(moment, argument));
    }

    function act(reaction: Reaction): string {
      const {
        say = "",
        fault,
        late: isLate,
      }: Act = typeof reaction === "string" ? { say: reaction } : reaction;
      if (isLate) {
        late = { say, ...(fault && { fault }) };
        return say;
      }
      if (say !== "") socket.write(`${say.replaceAll("\n", "\r\n")}\r\n`.replace(/\\\r\n$/, ""));
      if (fault === "close") socket.end();
      if (fault === "reset") raw.resetAndDestroy();
      if (fault === "trickle") trickle();
      if (fault !== undefined) silent = true;
      return say;
    }

    function trickle(): void {
      if (!socket.writable) return;
      socket.write("250-more\r\n");
      setTimeout(trickle, 10);
    }

    function line(text: string): void {
      const held = late;
      late = undefined;
      if (held) act(held);
      if (silent) return;
      if (loginSteps > 0) {
        loginSteps--;
        react("AUTH", text);
        return;
      }
      commands.push(text);
      if (!(socket instanceof TLSSocket)) inClear.push(text);
      const [, verb = "", argument = ""] = /^(\S+)\s*(.*)$/.exec(text) ?? [];
      switch (verb) {
        case "EHLO":
        case "HELO":
        case "LHLO":
          react(verb, argument);
          break;
        case "STARTTLS":
          if (react("STARTTLS").startsWith("220")) upgrade();
          break;
        case "AUTH":
          react("AUTH", argument);
          break;
        case "MAIL":
          if (react("MAIL", argument).startsWith("2")) mail = argument;
          recipients = [];
          break;
        case "RCPT":
          if (react("RCPT", argument).startsWith("2")) recipients.push(argument);
          break;
        case "DATA":
          if (recipients.length === 0 && script.DATA === undefined)
            socket.write("554 5.5.1 no recipients\r\n");
          else if (react("DATA").startsWith("354")) data = "";
          break;
        case "RSET":
          react("RSET");
          break;
        case "QUIT":
          react("QUIT");
          socket.end();
          break;
        default:
          socket.write("500 5.5.2 what?\r\n");
      }
    }

    function upgrade(): void {
      const reaction = reactionAt("handshake", "");
      if (reaction !== "" || !options.tls) {
        act(reaction); // what is said now stands where the client expects a TLS record
        return;
      }
      raw.removeAllListeners("data");
      buffered = "";
      socket = new TLSSocket(raw, { isServer: true, secureContext: options.tls });
      listen();
    }

    function take(chunk: Buffer): void {
      if (silent) return;
      buffered += chunk.toString("latin1");
      for (;;) {
        if (silent) return;
        if (data !== undefined) {
          if (data === "" && buffered !== "") react("first-data");
          const end = (data + buffered).indexOf("\r\n.\r\n");
          const empty = data === "" && buffered.startsWith(".\r\n");
          data += buffered;
          buffered = "";
          if (end < 0 && !empty) return;
          const message = empty ? "" : data.slice(0, end + 2);
          buffered = data.slice(empty ? 3 : end + 5);
          data = undefined;
          received.push({
            mail,
            recipients,
            message: message.replace(/^\.\./gm, "."),
            secure: socket instanceof TLSSocket,
          });
          if (options.lmtp) for (const recipient of recipients) react("message", recipient);
          else react("message");
          continue;
        }
        const at = buffered.indexOf("\r\n");
        if (at < 0) return;
        const text = buffered.slice(0, at);
        buffered = buffered.slice(at + 2);
        line(text);
      }
    }

    function listen(): void {
      socket.on("data", take);
      socket.on("error", () => undefined); // a client that hangs up is part of the test
      socket.on("end", () => socket.end());
    }

    if (options.implicit && options.tls) {
      socket = new TLSSocket(raw, { isServer: true, secureContext: options.tls });
      raw.on("error", () => undefined);
    }
    listen();
    react("greeting");
  }

  const server = createServer({ allowHalfOpen: true }, (socket) => {
    clients.push(socket.remoteAddress ?? "");
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => {
    server.listen(options.at ?? { host: "127.0.0.1", port: 0 }, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    commands,
    inClear,
    received,
    connections: () => clients.length,
    clients,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}
