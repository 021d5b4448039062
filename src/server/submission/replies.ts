/** Replies on their way to a client's socket: those of one turn go out together (RFC 2920 section 3.2). */
import type { Socket } from "node:net";
import type { Reply } from "../../smtp/reply.ts";

export interface ReplyWriter {
  /** Adds one reply, or the lines of a multi-line one. */
  add(replies: readonly Reply[]): void;
  readonly isEmpty: boolean;
  /** Sends what was added. Does nothing once the socket is closed. */
  flush(socket: Socket): void;
}

export function newReplyWriter(): ReplyWriter {
  let text = "";
  return {
    add(replies) {
      text += replyText(replies);
    },
    get isEmpty() {
      return text === "";
    },
    flush(socket) {
      if (text === "") return;
      if (socket.writable) socket.write(text);
      text = "";
    },
  };
}

/** RFC 5321 section 4.2.1: a hyphen follows the code on every line but the last. */
function replyText(replies: readonly Reply[]): string {
  let left = replies.length;
  let text = "";
  for (const { code, status, text: words } of replies) {
    left -= 1;
    // The space stays where no text follows: an empty challenge is "334 " (RFC 4954 section 4).
    const between = status !== "" && words !== "" ? " " : "";
    text += `${code}${left > 0 ? "-" : " "}${status}${between}${words}\r\n`;
  }
  return text;
}
