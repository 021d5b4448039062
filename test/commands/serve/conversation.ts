/** What a person with telnet would type at the running relay. */
import type { Relay } from "../../../demo/relay.mjs";
import { type Client, connect } from "../../server/submission/client.ts";

export type DoorName = "submission" | "submissions";

export interface Conversation {
  /** Says a line, gives the reply: its lines without CRLF, joined by LF; "" where the relay hung up. */
  say(line: string): Promise<string>;
  /** The next reply to what was said before. */
  reply(): Promise<string>;
  /** Octets as they are. */
  send(octets: string | Buffer): Promise<void>;
  startTls(): Promise<void>;
  close(): void;
}

/** Connects and reads the greeting, which is the first reply. */
export async function knock(
  port: number,
  secure: boolean,
): Promise<{ talk: Conversation; greeting: string }> {
  const client = await connect(port, secure);
  const talk = conversation(client);
  return { talk, greeting: await talk.reply() };
}

/** As far as EHLO inside TLS. */
export async function greet(relay: Relay, door: DoorName = "submission"): Promise<Conversation> {
  const { talk } = await knock(relay[door], door === "submissions");
  await expecting("250", talk.say("EHLO client.example.org"));
  if (door === "submission") {
    await expecting("220", talk.say("STARTTLS"));
    await talk.startTls();
    await expecting("250", talk.say("EHLO client.example.org"));
  }
  return talk;
}

/** Logged in. */
export async function enter(relay: Relay, door: DoorName = "submission"): Promise<Conversation> {
  const talk = await greet(relay, door);
  await expecting("235", talk.say(authPlain(relay.login, relay.password)));
  return talk;
}

export function authPlain(login: string, password: string): string {
  return `AUTH PLAIN ${Buffer.from(`\0${login}\0${password}`).toString("base64")}`;
}

/** Who writes to whom, where that matters. */
export interface Addresses {
  readonly from?: string;
  readonly to?: readonly string[];
}

/** Hands over a message, CRLF lines with the last one whole; gives the queue ID. */
export async function submit(
  talk: Conversation,
  message: string,
  { from = "user1@example.org", to = ["x@example.net"] }: Addresses = {},
): Promise<string> {
  await expecting("250", talk.say(`MAIL FROM:<${from}>`));
  for (const recipient of to) await expecting("250", talk.say(`RCPT TO:<${recipient}>`));
  await expecting("354", talk.say("DATA"));
  const said = await expecting("250", talk.say(`${message.replace(/^\./gm, "..")}.`));
  return /queued as ([0-9A-F]{10,12})$/.exec(said)?.[1] ?? "";
}

/** Hands over a message in a session of its own. */
export async function submitAlone(relay: Relay, message: string, addresses?: Addresses): Promise<string> {
  const talk = await enter(relay, "submissions");
  const id = await submit(talk, message, addresses);
  await talk.say("QUIT");
  talk.close();
  return id;
}

/** A small message in which `token` stands. */
export function note(token: string, text = "Hello"): string {
  return `From: user1@example.org\r\nTo: x@example.net\r\nSubject: ${token}\r\n\r\n${text}\r\n`;
}

/** Throws unless the reply has this code. */
export async function expecting(code: string, said: Promise<string>): Promise<string> {
  const reply = await said;
  if (!reply.startsWith(code)) throw new Error(`expected ${code}, the relay said: ${reply || "nothing"}`);
  return reply;
}

function conversation(client: Client): Conversation {
  async function reply(): Promise<string> {
    const lines: string[] = [];
    for (;;) {
      const line = await client.line();
      if (line === undefined) return lines.join("\n");
      lines.push(line);
      if (!/^\d{3}-/.test(line)) return lines.join("\n");
    }
  }
  return {
    async say(line) {
      await client.send(`${line}\r\n`);
      return reply();
    },
    reply,
    send: (octets) => client.send(octets),
    startTls: () => client.startTls(),
    close: () => client.destroy(),
  };
}
