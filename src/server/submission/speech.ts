/** Replies on their way to the client's socket. */
import type { Socket } from "node:net";
import { formatReply, type Reply } from "../../smtp/reply.ts";

export interface Speech {
  /** Says one reply, or the lines of a multi-line one; nothing where nobody can hear it any more. */
  say(socket: Socket, replies: readonly Reply[]): void;
  /** Sends what was said off. */
  flush(): void;
}

/** What pipelined commands are answered in one go is sent in one go (RFC 2920 section 3.2). */
export function newSpeech(): Speech {
  let corked: Socket | undefined;

  function flush(): void {
    corked?.uncork();
    corked = undefined;
  }

  return {
    say(socket, replies) {
      if (replies.length === 0 || !socket.writable) return;
      if (corked === undefined) {
        corked = socket;
        socket.cork();
        process.nextTick(flush);
      }
      socket.write(onTheWire(replies));
    },
    flush,
  };
}

/** RFC 5321 section 4.2.1: a hyphen behind the code of every line but the last. */
function onTheWire(replies: readonly Reply[]): string {
  return replies
    .map((line, index) => {
      const [code, rest] = [String(line.code), formatReply(line).slice(4)];
      // The blank stays where nothing follows: an empty challenge is "334 " (RFC 4954 section 4).
      return `${code}${index < replies.length - 1 ? "-" : " "}${rest}\r\n`;
    })
    .join("");
}

/** Resolves when the client has taken what it was told: one that never reads gets no more commands done. */
export function heard(socket: Socket): Promise<void> {
  if (!socket.writableNeedDrain || socket.destroyed) return Promise.resolve();
  return new Promise((resolve) => {
    const go = (): void => {
      socket.off("drain", go);
      socket.off("close", go);
      resolve();
    };
    socket.on("drain", go);
    socket.on("close", go);
  });
}
