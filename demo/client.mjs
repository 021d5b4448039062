/**
 * The smallest mail program that can show what it does: one message over SMTP, each step timed.
 */
import { createConnection } from "node:net";
import { connect as connectTls } from "node:tls";

/**
 * @typedef {object} Step
 * @property {"sent" | "received"} direction
 * @property {string} line without CRLF; the password is never in it
 * @property {number} time milliseconds since the step before
 */

/**
 * Sends `message` (CRLF lines, none a lone dot) and gives every line that went over the wire.
 * Throws when the server says anything but the reply hoped for.
 * @param {{ port: number, tls: boolean, ca: string, login: string, password: string, from: string, to: string, message: string }} mail
 * @returns {Promise<readonly Step[]>}
 */
export async function send({ port, tls, ca, login, password, from, to, message }) {
  /** @type {Step[]} */
  const steps = [];
  let last = performance.now();
  const note = (/** @type {Step["direction"]} */ direction, /** @type {string} */ line) => {
    const now = performance.now();
    steps.push({ direction, line, time: now - last });
    last = now;
  };

  let socket = tls
    ? connectTls({ port, host: "127.0.0.1", servername: "localhost", ca })
    : createConnection({ port, host: "127.0.0.1" });
  let replies = readReplies(socket);

  /**
   * @param {string | undefined} line what to say, if anything
   * @param {number} expected the reply's code
   * @param {string} [shown] what to show in its place
   */
  const say = async (line, expected, shown) => {
    if (line !== undefined) {
      socket.write(`${line}\r\n`);
      for (const part of (shown ?? line).split("\r\n")) note("sent", part);
    }
    const { value: reply = [] } = await replies.next();
    for (const part of reply) note("received", part);
    if (!reply.at(-1)?.startsWith(`${expected} `)) {
      throw new Error(`expected ${expected}, the server said: ${reply.join(" / ") || "nothing"}`);
    }
  };

  await say(undefined, 220);
  await say("EHLO client.example.org", 250);
  if (!tls) {
    await say("STARTTLS", 220);
    socket = connectTls({ socket, servername: "localhost", ca });
    replies = readReplies(socket);
    await say("EHLO client.example.org", 250);
  }
  const credentials = Buffer.from(`\0${login}\0${password}`).toString("base64");
  await say(`AUTH PLAIN ${credentials}`, 235, "AUTH PLAIN (user name and password)");
  await say(`MAIL FROM:<${from}>`, 250);
  await say(`RCPT TO:<${to}>`, 250);
  await say("DATA", 354);
  await say(`${message}\r\n.`, 250, "(the message)\r\n.");
  await say("QUIT", 221);
  socket.destroy();
  return steps;
}

/**
 * Each item is one reply, all of its lines.
 * @param {import("node:net").Socket} socket
 * @returns {AsyncGenerator<string[], undefined>}
 */
async function* readReplies(socket) {
  let buffer = "";
  // The socket outlives this loop: STARTTLS wraps it.
  for await (const chunk of socket.iterator({ destroyOnReturn: false })) {
    buffer += String(chunk);
    let whole = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(buffer);
    while (whole) {
      buffer = buffer.slice(whole[0].length);
      yield whole[0].trimEnd().split("\r\n");
      whole = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(buffer);
    }
  }
  return undefined;
}
