/**
 * A next hop of several hosts: it writes down which of them brought what, and when. It puts some off for now, so that
 * mail waits on all hosts, and takes its time to say that it has a message, which is when hosts die best.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import type { Chance } from "../torture/chance.ts";
import { isWhole, tokenIn } from "../torture/letter.ts";
import type { Taken } from "./ledger.ts";

export interface Hop {
  readonly port: number;
  readonly taken: readonly Taken[];
  /** Milliseconds at which each MAIL came, and from which address. */
  readonly begun: readonly { readonly from: string; readonly at: number }[];
  /** Percent of the recipients that are put off from now on. */
  putOff(share: number): void;
  /** From now on nothing is answered when a message is there, until `answer`. */
  keepWaiting(): void;
  answer(): void;
  /** How many messages wait for an answer. */
  waiting(): number;
  close(): Promise<void>;
}

/** Milliseconds that the answer to a message takes, at most. */
const longestAnswer = 250;

/** `now` in milliseconds. */
export async function startHop(address: string, chance: Chance, now: () => number): Promise<Hop> {
  const taken: Taken[] = [];
  const begun: { readonly from: string; readonly at: number }[] = [];
  const sockets = new Set<Socket>();
  let share = 0;
  let gate: PromiseWithResolver | undefined;
  let waiting = 0;

  function serve(socket: Socket): void {
    const from = socket.remoteAddress ?? "";
    let gathered = "";
    let inData = false;
    let isTaking = false;
    let began = 0;
    let recipients: string[] = [];
    const say = (line: string): void => void socket.write(`${line}\r\n`);

    async function take(text: string): Promise<void> {
      const token = tokenIn(text) ?? "a message without a token";
      const whole = isWhole(text);
      const copies = recipients.map((recipient) => ({
        token,
        recipient,
        from,
        begun: began,
        at: now(),
        whole,
      }));
      const places = copies.map((copy) => taken.push(copy) - 1);
      waiting += 1;
      isTaking = true; // what comes meanwhile is answered afterwards, RFC 2920 section 3.2
      await gate?.promise;
      if (chance.percent(50)) await pause(chance.below(longestAnswer));
      waiting -= 1;
      say("250 2.0.0 taken");
      for (const [index, copy] of copies.entries()) taken[places[index] ?? 0] = { ...copy, answered: now() };
      isTaking = false;
      read("");
    }

    function command(line: string): void {
      const [verb = "", argument = ""] = line.split(/ (.*)/s);
      switch (verb.toUpperCase()) {
        case "EHLO":
          say("250-hop.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000000");
          break;
        case "MAIL":
          began = now();
          begun.push({ from, at: began });
          recipients = [];
          say("250 2.1.0 ok");
          break;
        case "RCPT":
          if (chance.percent(share)) say("451 4.3.0 not now");
          else {
            recipients.push(/<(.*?)>/.exec(argument)?.[1] ?? "");
            say("250 2.1.5 ok");
          }
          break;
        case "DATA":
          inData = recipients.length > 0;
          say(inData ? "354 go ahead" : "554 5.5.1 no recipients");
          break;
        case "RSET":
        case "NOOP":
          say("250 2.0.0 ok");
          break;
        case "QUIT":
          say("221 2.0.0 bye");
          socket.end();
          break;
        default:
          say("502 5.5.1 what?");
      }
    }

    function read(chunk: string): void {
      gathered += chunk;
      while (!isTaking) {
        const mark = inData ? "\r\n.\r\n" : "\r\n";
        const at = gathered.indexOf(mark);
        if (at < 0) return;
        const part = gathered.slice(0, at);
        gathered = gathered.slice(at + mark.length);
        if (!inData) command(part);
        else {
          inData = false;
          void take(`${part}\r\n`.replace(/^\./gm, "")); // nothing in it fails
        }
      }
    }

    sockets.add(socket);
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => read(chunk));
    socket.on("error", () => undefined); // hosts die, and so do their connections
    socket.on("close", () => sockets.delete(socket));
    say("220 hop.example.net ESMTP");
  }

  const server = createServer(serve).listen(0, address);
  await once(server, "listening");
  const bound = server.address();
  return {
    port: typeof bound === "object" && bound !== null ? bound.port : 0,
    taken,
    begun,
    putOff(next) {
      share = next;
    },
    keepWaiting() {
      gate ??= withResolver();
    },
    answer() {
      gate?.resolve();
      gate = undefined;
    },
    waiting: () => waiting,
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

interface PromiseWithResolver {
  readonly promise: Promise<void>;
  readonly resolve: () => void;
}

function withResolver(): PromiseWithResolver {
  let resolve: () => void = () => undefined;
  const promise = new Promise<void>((settle) => {
    resolve = settle;
  });
  return { promise, resolve };
}
