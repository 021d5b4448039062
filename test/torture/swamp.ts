/**
 * Destinations that hang, each at an address of its own: one says nothing at all, the next stops after the greeting, after
 * EHLO, after MAIL, after the final dot. Until they are drained: then they take everything.
 */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import type { Hop } from "./hop.ts";

export interface Swamp {
  /** Lines of TOML: the routes of the domains there. */
  readonly routes: string;
  readonly domains: readonly string[];
  /** At how many of the destinations somebody waits now. */
  waited(): number;
  drain(): void;
  close(): Promise<void>;
}

/** What is still answered, place by place; then silence. */
const answers: readonly (readonly string[])[] = [
  [],
  ["220 swamp.example.net ESMTP"],
  ["220 swamp.example.net ESMTP", "250 swamp.example.net"],
  ["220 swamp.example.net ESMTP", "250 swamp.example.net", "250 ok"],
  ["220 swamp.example.net ESMTP", "250 swamp.example.net", "250 ok", "250 ok", "354 go ahead"],
];

/** So many of them; `hop` takes what comes when they are drained. */
export async function startSwamp(size: number, hop: Hop): Promise<Swamp> {
  let drained = false;
  const waiting = new Map<Socket, number>();

  function hang(socket: Socket, number: number): void {
    const [greeting, ...replies] = answers[number % answers.length] ?? [];
    waiting.set(socket, number);
    socket.on("error", () => undefined).on("close", () => waiting.delete(socket));
    if (greeting !== undefined) socket.write(`${greeting}\r\n`);
    let line = "";
    socket.setEncoding("latin1").on("data", (part: string) => {
      line += part;
      for (; line.includes("\n"); line = line.slice(line.indexOf("\n") + 1)) {
        const reply = replies.shift();
        if (reply !== undefined) socket.write(`${reply}\r\n`);
      }
    });
  }

  const servers = await Promise.all(
    Array.from({ length: size }, async (_, number) => {
      const host = `127.77.${String(number >> 8)}.${String(number & 255)}`;
      const server = createServer((socket) => (drained ? hop.serve(socket) : hang(socket, number)));
      await once(server.listen(0, host), "listening");
      const address = server.address();
      const port = typeof address === "object" && address !== null ? address.port : 0;
      return { server, domain: `d${String(number)}.example.com`, url: `smtp://${host}:${String(port)}` };
    }),
  );
  return {
    routes: servers.map(({ domain, url }) => `[[route]]\nto = ["${domain}"]\nrelay = "${url}"\n`).join(""),
    domains: servers.map(({ domain }) => domain),
    waited: () => new Set(waiting.values()).size,
    drain() {
      drained = true;
      for (const socket of waiting.keys()) socket.destroy();
    },
    async close() {
      for (const socket of waiting.keys()) socket.destroy();
      await Promise.all(servers.map(({ server }) => once(server.close(), "close")));
    },
  };
}
