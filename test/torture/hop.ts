/**
 * A next hop with moods: it refuses, hangs, and hangs up at every stage, above all around the end of the message. It
 * keeps a ledger of what it took, and of whether it said so.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { longForm } from "../tools/long-forms.ts";
import type { Chance } from "./chance.ts";
import { isWhole, nobody, tokenIn, toldAbout } from "./letter.ts";
import type { Taken, Told } from "./story.ts";

type Stage = "greeting" | "EHLO" | "MAIL" | "RCPT" | "DATA" | "end";

/** What may go wrong at any stage; then, at the end of the message, also what is in doubt afterwards. */
const faults = ["later", "closing", "hang-up", "reset", "hang"] as const;
const doubts = [
  "take, hang-up",
  "take, reset",
  "take, hang",
  "take, 250, hang-up",
  "take, 250 in halves",
] as const;
type Fault = (typeof faults)[number] | (typeof doubts)[number];

export interface Hop {
  readonly port: number;
  readonly taken: readonly Taken[];
  readonly told: readonly Told[];
  /** How often each fault happened, by stage. */
  readonly happened: ReadonlyMap<string, number>;
  /** Percent of stages that go wrong from now on. */
  mood(share: number): void;
  /** Serves somebody who came by another door. */
  serve(socket: Socket): void;
  close(): Promise<void>;
}

const welcome: Readonly<Record<Stage, string>> = {
  greeting: "220 hop.example.net ESMTP",
  EHLO: "250-hop.example.net\r\n250-PIPELINING\r\n250-8BITMIME\r\n250 SIZE 10000000",
  MAIL: "250 2.1.0 ok",
  RCPT: "250 2.1.5 ok",
  DATA: "354 go ahead",
  end: "250 2.0.0 taken",
};

const sevenBit = welcome.EHLO.replace("250-8BITMIME\r\n", "");

/** `now` in milliseconds. */
export async function startHop(chance: Chance, now: () => number): Promise<Hop> {
  const taken: Taken[] = [];
  const told: Told[] = [];
  const happened = new Map<string, number>();
  const sockets = new Set<Socket>();
  let share = 0;

  function faultAt(stage: Stage): Fault | undefined {
    if (!chance.percent(stage === "end" ? share * 2 : share)) return undefined;
    const fault = stage === "end" && chance.percent(60) ? chance.one(doubts) : chance.one(faults);
    const name = `${stage}: ${fault}`;
    happened.set(name, (happened.get(name) ?? 0) + 1);
    return fault;
  }

  function serve(socket: Socket): void {
    let gathered = "";
    let inData = false;
    let deaf = false;
    let begun = 0;
    let sender = "";
    let recipients: string[] = [];
    const say = (line: string): void => void socket.write(`${line}\r\n`);

    function take(text: string, answered: number | undefined): void {
      if (text.includes(longForm)) return; // of no client that keeps a ledger
      const token = tokenIn(text) ?? "a message without a token";
      if (sender === "<>") {
        for (const recipient of toldAbout(text)) told.push({ token, recipient, at: begun });
        return;
      }
      const whole = isWhole(text);
      for (const recipient of recipients) taken.push({ token, recipient, begun, answered, whole });
    }

    /** What is done in place of the answer to a stage; `text` is the message at its end. */
    function act(fault: Fault, text: string): void {
      if (fault === "later") {
        say("451 4.3.0 not now");
        return;
      }
      deaf = true;
      const tells = fault === "take, 250, hang-up" || fault === "take, 250 in halves";
      if (fault.startsWith("take")) take(text, tells ? now() : undefined);
      switch (fault) {
        case "closing":
          say("421 4.3.2 closing");
          socket.end();
          break;
        case "hang-up":
        case "take, hang-up":
          socket.end();
          break;
        case "reset":
        case "take, reset":
          socket.resetAndDestroy();
          break;
        case "hang":
        case "take, hang":
          setTimeout(() => socket.destroy(), 300 + chance.below(1_500));
          break;
        case "take, 250, hang-up":
          say(welcome.end);
          socket.end();
          break;
        case "take, 250 in halves":
          socket.write("250 2.0");
          setTimeout(() => {
            say(".0 taken");
            deaf = false;
            read("");
          }, 50 + chance.below(200));
          break;
      }
    }

    function answer(stage: Stage, text = ""): boolean {
      const fault = faultAt(stage);
      // Every second session has no 8BITMIME, and what has 8 bits is made over for it.
      if (fault === undefined) say(stage === "EHLO" && chance.percent(50) ? sevenBit : welcome[stage]);
      else act(fault, text);
      return fault === undefined;
    }

    function command(line: string): void {
      const [verb = "", argument = ""] = line.split(/ (.*)/s);
      const address = /<(.*?)>/.exec(argument)?.[1] ?? "";
      switch (verb.toUpperCase()) {
        case "EHLO":
          answer("EHLO");
          break;
        case "MAIL":
          begun = now();
          recipients = [];
          sender = `<${address}>`;
          answer("MAIL");
          break;
        case "RCPT":
          if (address.startsWith(nobody)) say("550 5.1.1 no such user");
          else if (answer("RCPT")) recipients.push(address);
          break;
        case "DATA":
          if (recipients.length === 0) say("554 5.5.1 no recipients");
          else inData = answer("DATA");
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
      while (!deaf) {
        const mark = inData ? "\r\n.\r\n" : "\r\n";
        const at = gathered.indexOf(mark);
        if (at < 0) return;
        const part = gathered.slice(0, at);
        gathered = gathered.slice(at + mark.length);
        if (!inData) command(part);
        else {
          inData = false;
          const text = `${part}\r\n`.replace(/^\./gm, "");
          if (answer("end", text)) take(text, now());
        }
      }
    }

    sockets.add(socket);
    socket.setEncoding("latin1");
    socket.on("data", (chunk: string) => read(chunk));
    socket.on("error", () => undefined); // the relay dies, and so may its connections
    socket.on("close", () => sockets.delete(socket));
    answer("greeting");
  }

  const server = createServer(serve).listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    taken,
    told,
    happened,
    serve,
    mood(next) {
      share = next;
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}
