/** A filter for tests, which says what it is told to say and remembers what it heard. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";

/** What it sends: `c`, or `h X-Spam=yes`: the command, and data that {@link answer} reads. A Buffer goes as it is. */
export type Says = string | Buffer;

export interface Script {
  /** Version, actions, steps and, if any, the macros of a step; undefined: it answers no option. */
  readonly options?: readonly [
    version: number,
    actions: number,
    steps: number,
    ...macros: [number, string][],
  ];
  /** In place of the options. */
  readonly begins?: Says;
  /** By command, what it answers: one list for each time, the last one for all further times. "c" where nothing is said. */
  readonly says?: Readonly<Record<string, readonly (readonly Says[])[]>>;
  /** The command at which it closes the connection. */
  readonly hangsUpAt?: string;
  /** Reads nothing. */
  readonly deaf?: true;
}

export interface FakeMilter {
  readonly address: { readonly kind: "inet"; readonly host: string; readonly port: number };
  /** What it heard, a line for each frame: `C [127.0.0.1]|4|…`. */
  readonly heard: readonly string[];
  /** The octets of the last body. */
  body(): string;
  close(): Promise<void>;
}

/** All that there is, but for larger chunks. */
export const everything = [6, 0x1ff, 0] as const;

export async function fakeMilter(script: Script): Promise<FakeMilter> {
  const heard: string[] = [];
  const body: Buffer[] = [];
  const sockets = new Set<Socket>();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
    if (script.deaf) return;
    let waiting = Buffer.alloc(0);
    const times = new Map<string, number>();
    socket.on("data", (chunk) => {
      waiting = Buffer.concat([waiting, chunk]);
      while (waiting.length >= 4 && waiting.length >= 4 + waiting.readUInt32BE()) {
        const end = 4 + waiting.readUInt32BE();
        hear(waiting.toString("latin1", 4, 5), waiting.subarray(5, end));
        waiting = waiting.subarray(end);
      }
    });
    function hear(command: string, data: Buffer): void {
      heard.push(command === "B" ? `B ${data.length}` : `${command} ${shownData(command, data)}`.trimEnd());
      if (command === "B") body.push(data);
      if (script.hangsUpAt === command) socket.destroy();
      else if (command === "O" && script.begins !== undefined) send(script.begins);
      else if (command === "O") sendOptions();
      else if (!"DQA".includes(command)) reply(command);
    }
    function reply(command: string): void {
      const time = times.get(command) ?? 0;
      times.set(command, time + 1);
      const lists = script.says?.[command] ?? [["c"]];
      for (const says of lists[Math.min(time, lists.length - 1)] ?? []) send(says);
    }
    function sendOptions(): void {
      if (!script.options) return;
      const [version, actions, steps, ...macros] = script.options;
      const parts = macros.map(([step, names]) => Buffer.concat([number(step), Buffer.from(`${names}\0`)]));
      socket.write(frame("O", Buffer.concat([number(version), number(actions), number(steps), ...parts])));
    }
    const send = (says: Says): void => void socket.write(typeof says === "string" ? answer(says) : says);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const at = server.address();
  const port = typeof at === "object" && at !== null ? at.port : 0;
  return {
    address: { kind: "inet", host: "127.0.0.1", port },
    heard,
    body: () => Buffer.concat(body).toString("latin1"),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

export function frame(command: string, data: Buffer = Buffer.alloc(0)): Buffer {
  return Buffer.concat([number(1 + data.length), Buffer.from(command, "latin1"), data]);
}

export function number(value: number): Buffer {
  const octets = Buffer.alloc(4);
  octets.writeUInt32BE(value >>> 0);
  return octets;
}

/** `h Name=value`, `i 1 Name=value`, `m 2 Name=value`, `b text`, `y 550 5.7.1 no`, `+ <x@example.net>`, `q reason`. */
export function answer(says: string): Buffer {
  const [command, rest] = [says.slice(0, 1), says.slice(2)];
  const texts = (...all: readonly string[]): Buffer =>
    Buffer.from(all.map((text) => `${text}\0`).join(""), "latin1");
  if (command === "b") return frame("b", Buffer.from(rest, "latin1"));
  if (rest === "") return frame(command);
  if (command === "h") return frame("h", texts(...named(rest)));
  if (command === "i" || command === "m") {
    const blank = rest.indexOf(" ");
    return frame(
      command,
      Buffer.concat([number(Number(rest.slice(0, blank))), texts(...named(rest.slice(blank + 1)))]),
    );
  }
  return frame(command, texts(rest));
}

const named = (text: string): readonly string[] => {
  const at = text.indexOf("=");
  return [text.slice(0, at), text.slice(at + 1)];
};

/** Texts with "|" between them. */
function shownData(command: string, data: Buffer): string {
  if (command === "O") return [0, 4, 8].map((at) => `0x${data.readUInt32BE(at).toString(16)}`).join(" ");
  const texts = data.toString("latin1").split("\0").slice(0, -1).join("|");
  return command === "D" ? `${texts.slice(0, 1)}|${texts.slice(1)}` : texts;
}
