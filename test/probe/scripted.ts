/** A mail server that does what a case says, act by act, and notes where it was told something else. */
import { createServer, type Socket } from "node:net";
import { createSecureContext, TLSSocket } from "node:tls";
import type { SelfSigned } from "../tools/certificate.ts";
import type { Act } from "./cases.ts";

export interface Scripted {
  readonly port: number;
  /** What was heard and not in the script. */
  readonly surprises: readonly string[];
  close(): Promise<void>;
}

/** Listens on a free port of 127.0.0.1, or on the Unix socket `path`. */
export async function scripted(
  acts: readonly Act[],
  certificate: SelfSigned,
  path?: string,
): Promise<Scripted> {
  const surprises: string[] = [];
  const sockets = new Set<Socket>();
  const rest = [...acts];

  function serve(raw: Socket): void {
    let socket: Socket = raw;
    let read = Buffer.alloc(0);
    const take = (octets: Buffer): void => {
      read = Buffer.concat([read, octets]);
      go();
    };

    /** Takes `count` octets off what was read; undefined where there are not that many yet. */
    function taken(count: number): Buffer | undefined {
      if (count <= 0 || read.length < count) return undefined;
      const octets = read.subarray(0, count);
      read = read.subarray(count);
      return octets;
    }

    /** How many octets end in `mark`; 0 where it is not there yet. */
    function lengthUpTo(mark: string): number {
      const at = read.indexOf(mark);
      return at < 0 ? 0 : at + mark.length;
    }

    function perform(act: Act): boolean {
      switch (act.kind) {
        case "say":
          socket.write(act.octets);
          return true;
        case "hear": {
          const line = taken(lengthUpTo("\r\n"));
          if (line === undefined) return false;
          const text = line.toString().slice(0, -2);
          if (!fits(act.pattern, text)) surprises.push(`"${text}" is no "${act.pattern}"`);
          return true;
        }
        case "octets":
          return taken(act.count) !== undefined;
        case "message":
          return (
            taken(read.subarray(0, 3).toString() === ".\r\n" ? 3 : lengthUpTo("\r\n.\r\n")) !== undefined
          );
        case "tls":
          raw.off("data", take);
          socket = new TLSSocket(raw, { isServer: true, secureContext: createSecureContext(certificate) });
          socket.on("data", take).on("error", () => undefined);
          return true;
        case "close":
          socket.end();
          return true;
        default:
          return false;
      }
    }

    function go(): void {
      for (let act = rest[0]; act !== undefined && perform(act); act = rest[0]) rest.shift();
    }

    raw
      .on("data", take)
      .on("error", () => undefined)
      .on("end", () => raw.end());
    if (rest[0]?.kind === "again") rest.shift();
    go();
  }

  const server = createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket);
    socket.once("close", () => sockets.delete(socket));
    serve(socket);
  });
  await new Promise<void>((resolve) => {
    if (path === undefined) server.listen(0, "127.0.0.1", resolve);
    else server.listen(path, resolve);
  });
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    surprises,
    async close() {
      for (const socket of sockets) socket.destroy();
      await new Promise<void>((resolve) => {
        server.close(() => resolve());
      });
    },
  };
}

const fits = (pattern: string, line: string): boolean =>
  new RegExp(
    `^${pattern
      .split("*")
      .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, "\\$&"))
      .join(".*")}$`,
  ).test(line);
