/** A conversation with the server, and what was said so far, to be shown where it goes another way than it should. */
import type { Client } from "../server/submission/client.ts";

export interface Transcript extends Pick<Client, "send" | "line" | "startTls"> {
  readonly client: Client;
  /** The next line, which `line` gives again. */
  next(): Promise<string | undefined>;
  /** Writes down what was said past us. */
  note(who: "C", octets: Buffer | string): void;
  /** What to throw: `expected` is one line; `found` is what else there is to see. */
  amiss(expected: string, found?: readonly string[]): Error;
}

export function transcribed(client: Client): Transcript {
  const said: string[] = [];
  let ahead: { readonly line: string | undefined } | undefined;
  const hear = async (): Promise<string | undefined> => {
    const line = await client.line();
    said.push(line === undefined ? "the connection ended" : `S: ${shown(line)}`);
    return line;
  };
  const note: Transcript["note"] = (who, octets) => {
    const lines = octets.toString().replace(/\r\n$/, "").split("\r\n");
    for (const line of lines) said.push(`${who}: ${shown(line)}`);
  };
  return {
    client,
    note,
    send(octets) {
      note("C", octets);
      return client.send(octets);
    },
    startTls: () => client.startTls(),
    async next() {
      ahead ??= { line: await hear() };
      return ahead.line;
    },
    async line() {
      const { line } = ahead ?? { line: await hear() };
      ahead = undefined;
      return line;
    },
    amiss(expected, found = []) {
      const rest = found.length === 0 ? [] : ["", "found:", ...found];
      const error = new Error([expected, "", ...said, ...rest].join("\n"));
      error.stack = error.message; // where in the runner it was noticed tells nothing
      return error;
    },
  };
}

/** What can be read of a line, on one line. */
function shown(line: string): string {
  const readable = line.replace(/[^ -~\u00a0-\u{10ffff}]/gu, (one) => JSON.stringify(one).slice(1, -1));
  return readable.length > 300 ? `${readable.slice(0, 300)}… (${line.length} characters)` : readable;
}
