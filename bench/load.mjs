/**
 * The clients of submission.mjs, in a process of their own so that their work is not counted as the server's:
 *   node bench/load.mjs PORT LOGIN PASSWORD-FILE CERTIFICATE CONNECTIONS MESSAGES
 * Opens all connections inside TLS, logs in, says "ready", waits for a line, sends, and prints a JSON object:
 * seconds, and the milliseconds that the middle one and the 95th of 100 messages took.
 */
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline/promises";
import { connect } from "node:tls";

const [port = "", login = "", passwordFile = "", certificate = "", connections = "", messages = ""] =
  process.argv.slice(2);
const password = (await readFile(passwordFile, "utf8")).trim();
const ca = await readFile(certificate);

const line = "The quick brown fox jumps over the lazy dog, again and again and again.\r\n";
const header =
  "From: user1@example.org\r\nTo: x@example.net\r\nSubject: bulk\r\nDate: Sun, 22 Nov 2026 12:00:00 +0000\r\n";

/** @param {number} number */
function message(number) {
  const start = `${header}Message-ID: <${number}.${process.pid}@client.example.org>\r\n\r\n`;
  return `${start}${line.repeat(Math.ceil((5_000 - start.length) / line.length))}`;
}

async function session() {
  const socket = connect({ port: Number(port), host: "localhost", ca });
  socket.setNoDelay(true);
  let text = "";
  let wake = () => {};
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    text += chunk.toString("latin1");
    wake();
  });
  /** @param {string} code */
  async function hear(code) {
    for (;;) {
      const reply = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(text)?.[0];
      if (reply === undefined) {
        await new Promise((/** @type {(value: void) => void} */ resolve) => {
          wake = resolve;
        });
        continue;
      }
      text = text.slice(reply.length);
      if (!reply.startsWith(code)) throw new Error(`expected ${code}, heard ${reply}`);
      return;
    }
  }
  await hear("220");
  socket.write("EHLO client.example.org\r\n");
  await hear("250");
  socket.write(`AUTH PLAIN ${Buffer.from(`\0${login}\0${password}`).toString("base64")}\r\n`);
  await hear("235");
  return {
    /** @param {number} number */
    async send(number) {
      socket.write("MAIL FROM:<user1@example.org>\r\nRCPT TO:<x@example.net>\r\nDATA\r\n");
      for (const code of ["250", "250", "354"]) await hear(code);
      socket.write(`${message(number)}.\r\n`);
      await hear("250");
    },
    async end() {
      socket.write("QUIT\r\n");
      await hear("221");
      socket.destroy();
    },
  };
}

const sessions = await Promise.all(Array.from({ length: Number(connections) }, session));
const input = createInterface(process.stdin);
process.stdout.write("ready\n");
await new Promise((resolve) => input.once("line", resolve));
input.close();

/** @type {number[]} */
const times = [];
let next = 0;
const begun = performance.now();
await Promise.all(
  sessions.map(async (one) => {
    while (next < Number(messages)) {
      const started = performance.now();
      next += 1;
      await one.send(next);
      times.push(performance.now() - started);
    }
  }),
);
const seconds = (performance.now() - begun) / 1_000;
times.sort((one, other) => one - other);
const at = (/** @type {number} */ share) => times[Math.floor(times.length * share)];
process.stdout.write(`${JSON.stringify({ seconds, median: at(0.5), late: at(0.95) })}\n`);
await Promise.all(sessions.map((one) => one.end()));
