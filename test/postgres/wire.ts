/**
 * The wire between a host and its database: a Unix socket in between, which knows the messages of PostgreSQL's protocol
 * (its manual, "Message Formats") and can be cut before any of them.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { connect, createServer, type Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";

export interface Wire {
  /** `url` by way of the wire. */
  through(url: string): string;
  /** Counts from here on what goes over connections other than the first, and cuts all of them before number `cut`, if ever. */
  arm(cut?: number): void;
  /** Messages since then, in both directions, as "> Q" from the host and "< C" from the server. */
  readonly seen: readonly string[];
  readonly isCut: () => boolean;
  cut(): void;
  /** What stands is held up without a word, and new connections are refused from here on. Gives how many were. */
  hold(): () => number;
  /** Connections come through again. */
  heal(): void;
  close(): Promise<void>;
}

export async function openWire(folder: string, port: number): Promise<Wire> {
  const own = mkdtempSync(join(tmpdir(), "tpa-wire-"));
  const seen: string[] = [];
  const open = new Set<Socket>();
  let isCut = false;
  let isHeld = false;
  let refused = 0;
  let isCounting = false;
  let cutBefore = Number.POSITIVE_INFINITY;
  let first: Socket | undefined;

  function cut(): void {
    isCut = true;
    first = undefined;
    for (const socket of [...open]) socket.destroy();
  }

  const server = createServer((host) => {
    if (isCut || isHeld) {
      refused += 1;
      host.destroy();
      return;
    }
    const database = connect(join(folder, `.s.PGSQL.${String(port)}`));
    first ??= host;
    const isFirst = first === host;
    /** Passes on what comes, message by message. */
    const pass = (from: Socket, to: Socket, direction: ">" | "<"): void => {
      let rest = Buffer.alloc(0);
      let isStartup = direction === ">";
      open.add(from);
      from.on("data", (octets: Buffer) => {
        rest = Buffer.concat([rest, octets]);
        for (;;) {
          const head = isStartup ? 0 : 1; // the first message has no letter
          if (rest.length < head + 4) return;
          const length = head + rest.readInt32BE(head);
          if (rest.length < length) return;
          const message = rest.subarray(0, length);
          rest = rest.subarray(length);
          const letter = isStartup ? "startup" : String.fromCharCode(message[0] ?? 0);
          isStartup = false;
          if (isCounting && !isFirst) {
            if (seen.length >= cutBefore) return cut();
            seen.push(`${direction} ${letter}`);
          }
          to.write(message);
        }
      });
      from.on("error", () => undefined);
      from.on("close", () => {
        open.delete(from);
        to.destroy();
      });
    };
    pass(host, database, ">");
    pass(database, host, "<");
  });
  await new Promise<void>((resolve) => {
    server.listen(join(own, `.s.PGSQL.${String(port)}`), resolve);
  });

  return {
    through: (url) => url.replace(/\?host=.*/, `?host=${own}`),
    arm(before = Number.POSITIVE_INFINITY) {
      seen.length = 0;
      cutBefore = before;
      isCounting = true;
    },
    seen,
    isCut: () => isCut,
    cut,
    hold() {
      isHeld = true;
      refused = 0;
      for (const socket of open) socket.pause();
      return () => refused;
    },
    heal() {
      isCounting = false;
      isCut = false;
      isHeld = false;
      for (const socket of open) socket.resume();
    },
    async close() {
      cut();
      await promisify(server.close.bind(server))();
      rmSync(own, { recursive: true, force: true });
    },
  };
}
