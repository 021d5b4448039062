/** A client that sends letters to one of several hosts, waits for none of them for long, and writes down what it was told. */
import { once } from "node:events";
import { connect, type TLSSocket } from "node:tls";
import type { Letter } from "../torture/letter.ts";
import type { Sent } from "./ledger.ts";
import type { Host } from "./site.ts";

/** Milliseconds that a client waits for any answer: longer than a host for its database. A host that is cut off says nothing. */
const patience = 12_000;

export interface Talk {
  /** Says a line, gives the reply: its lines without CRLF, joined by LF; "" where the host hung up or says nothing. */
  say(line: string): Promise<string>;
  /** Sends a part of a message. Resolves when the next one may follow: a host that waits for its database takes none. */
  feed(part: string): Promise<void>;
  /** The next reply, to nothing. */
  reply(milliseconds?: number): Promise<string>;
  close(): void;
}

/** Connected and logged in. Rejects where that is not to be had now. */
export async function enter(host: Host, login = host.login): Promise<Talk> {
  const socket = connect({ host: host.address, port: host.port, rejectUnauthorized: false });
  const talk = listenTo(socket);
  const late = setTimeout(() => socket.destroy(new Error("no connection in time")), patience);
  try {
    await once(socket, "secureConnect");
    await expecting("220", talk.reply());
    await expecting("250", talk.say("EHLO client.example.org"));
    const secret = Buffer.from(`\0${login}\0${host.password}`).toString("base64");
    await expecting("235", talk.say(`AUTH PLAIN ${secret}`));
    return talk;
  } catch (error) {
    talk.close();
    throw error;
  } finally {
    clearTimeout(late);
  }
}

async function expecting(code: string, said: Promise<string>): Promise<void> {
  const reply = await said;
  if (!reply.startsWith(code)) throw new Error(`expected ${code}, the host said: ${reply || "nothing"}`);
}

/** What became of a letter, and the words that said so. */
export interface Posted {
  readonly sent: Omit<Sent, "host" | "ended">;
  readonly said: string;
}

/** Sends `letter`, by `feed` where there is one, which gives what is left to be sent. Never throws for what the host says or does not say. */
export async function post(
  talk: Talk,
  letter: Letter,
  from = "user1@example.org",
  feed?: (text: string) => Promise<string>,
): Promise<Posted> {
  const { token, recipients } = letter;
  const became = (outcome: Sent["outcome"], said: string, id?: string): Posted => ({
    sent: { token, recipients, outcome, ...(id !== undefined && { id }) },
    said,
  });
  const commands = [`MAIL FROM:<${from}>`, ...recipients.map((one) => `RCPT TO:<${one}>`), "DATA"];
  for (const command of commands) {
    const said = await talk.say(command);
    if (!/^(?:250|354)/.test(said)) return became(said === "" ? "unsent" : "refused", said);
  }
  const text = letter.text.replace(/^\./gm, "..");
  const rest = feed === undefined ? text : await feed(text);
  const said = await talk.say(`${rest}.`);
  if (said.startsWith("250")) return became("promised", said, /queued as ([0-9A-F]+)$/.exec(said)?.[1]);
  return became(said === "" ? "unknown" : said.startsWith("4") ? "later" : "refused", said);
}

function listenTo(socket: TLSSocket): Talk {
  let text = "";
  let over = false;
  let wake: () => void = () => undefined;
  const end = (): void => {
    over = true;
    wake();
  };
  socket.setNoDelay(true).setEncoding("utf8");
  socket.on("data", (part: string) => {
    text += part;
    wake();
  });
  socket.on("error", end).on("end", end).on("close", end);

  async function reply(milliseconds = patience): Promise<string> {
    const late = setTimeout(end, milliseconds);
    try {
      for (;;) {
        const found = /^(?:\d{3}-.*\r\n)*\d{3} .*\r\n/.exec(text)?.[0];
        if (found !== undefined) {
          text = text.slice(found.length);
          return found.slice(0, -2).replaceAll("\r\n", "\n");
        }
        if (over) return "";
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
    } finally {
      clearTimeout(late);
    }
  }

  return {
    async say(line) {
      if (!socket.writable || over) return "";
      socket.write(`${line}\r\n`);
      return reply();
    },
    async feed(part) {
      if (!socket.writable || over) return;
      await new Promise<void>((resolve) => {
        socket.write(part, () => resolve());
      });
    },
    reply,
    close: () => void socket.destroy(),
  };
}
