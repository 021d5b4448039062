/** The journal of systemd by its stream socket: for hosts without the perl that datagrams.ts needs. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { ignore, type LogDestination, nothing, write } from "./destination.ts";
import { type LogLine, priorityOf, severity } from "./format.ts";

/** Milliseconds in which the journal reads one stream before another one gets more. Our choice. */
const journalPause = 2;

/** Pauses in one call: a backlog is worth more than its order. Our choice, a second's. */
const mostPauses = 500;

/**
 * The journal's stream socket, /run/systemd/journal/stdout, one connection for each tag: the tag is in the header
 * that a connection begins with (systemd's own sd_journal_stream_fd(3) writes it). The journal never answers and
 * shuts its side down at once, so each connection stays half open.
 */
export function toJournalStreams(path: string): LogDestination {
  const connections = new Map<string, Socket>();
  let written = 0; // when the last stream was written to

  async function connection(tag: string): Promise<Socket> {
    const known = connections.get(tag);
    if (known !== undefined) return known;
    const socket = connect({ path, allowHalfOpen: true });
    await once(socket, "connect");
    socket
      .on("error", ignore)
      .on("close", () => {
        if (connections.get(tag) === socket) connections.delete(tag);
      })
      .resume()
      .unref();
    connections.set(tag, socket);
    const unit = "";
    await write(socket, [tag, unit, priorityOf("info"), 1, 1, 0, 0, ""].join("\n"));
    return socket;
  }

  /** Connects again, once, where the connection was lost. */
  async function send(tag: string, text: string): Promise<void> {
    const isKnown = connections.has(tag);
    try {
      await write(await connection(tag), text);
    } catch (error) {
      connections.get(tag)?.destroy();
      connections.delete(tag);
      if (!isKnown) throw error;
      await write(await connection(tag), text);
    }
  }

  return {
    write: async (lines) => {
      for (const [index, step] of inSteps(lines).entries()) {
        const since = performance.now() - written;
        if (index < mostPauses && since < journalPause) await pause(journalPause);
        for (const [tag, text] of step) await send(tag, text);
        written = performance.now();
      }
    },
    reopen: nothing,
    close: async () => {
      await Promise.all([...connections.values()].map((socket) => ended(socket)));
    },
  };
}

/**
 * What to write to each stream, in steps. The journal reads streams that are ready at the same time in any order:
 * a line about a message that another stream has mentioned before belongs to a later step.
 */
function inSteps(lines: readonly LogLine[]): readonly ReadonlyMap<string, string>[] {
  const steps: Map<string, string>[] = [];
  const ofStream = new Map<string, number>();
  const ofMessage = new Map<string, { readonly tag: string; readonly step: number }>();
  for (const { tag, level, text, messages } of lines) {
    const earliest = messages.map((id) => {
      const last = ofMessage.get(id);
      if (!last) return 0;
      return last.tag === tag ? last.step : last.step + 1;
    });
    const step = Math.max(ofStream.get(tag) ?? 0, ...earliest);
    ofStream.set(tag, step);
    for (const id of messages) ofMessage.set(id, { tag, step });
    const texts = steps[step] ?? new Map<string, string>();
    steps[step] = texts; // the next one at most: no step is left out
    texts.set(tag, `${texts.get(tag) ?? ""}<${severity[level]}>${text}\n`);
  }
  return steps;
}

function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    socket.once("close", () => resolve());
    socket.end(() => socket.destroySoon());
  });
}
