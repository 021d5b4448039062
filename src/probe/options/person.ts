/** Questions and answers over standard input and output, line by line; secrets on the terminal where there is one. */
import type { Person } from "./answers.ts";

/** What a conversation goes over. */
export interface Channel {
  /** The next octets of standard input; undefined at its end. */
  read(): Promise<Uint8Array | undefined>;
  /** Shows a question. */
  write(text: string): void;
  /** Whether standard input is a terminal. */
  readonly terminal: boolean;
  /** Asks on the terminal itself, without showing what is typed. Throws a Failure where there is none. */
  askSecret(question: string): Promise<string>;
}

/** Whoever answers over `channel`. A script's answers are lines; a message may follow them. */
export function personAt(channel: Channel): Person {
  let ahead: Buffer = Buffer.alloc(0);
  let ended = false;
  let drained = false;

  async function fill(): Promise<boolean> {
    const octets = ended ? undefined : await channel.read();
    if (octets === undefined) ended = true;
    else ahead = Buffer.concat([ahead, octets]);
    return !ended;
  }

  async function line(): Promise<string | undefined> {
    while (!ahead.includes(0x0a) && (await fill()));
    if (ahead.length === 0) return undefined;
    const end = ahead.indexOf(0x0a);
    const octets = end < 0 ? ahead : ahead.subarray(0, end);
    ahead = ahead.subarray(end < 0 ? ahead.length : end + 1);
    return octets.toString("utf8").replace(/\r$/, "");
  }

  return {
    async ask(question, secret) {
      if (secret && (channel.terminal || drained)) return channel.askSecret(question);
      channel.write(question);
      return line();
    },
    async rest() {
      drained = true;
      while (await fill());
      const octets = ahead;
      ahead = Buffer.alloc(0);
      return octets;
    },
  };
}
