/**
 * Idle sessions: what 5 000 clients that have logged in inside TLS and say nothing cost in memory, and how long one
 * more waits to log in and send, beside the same before they came.
 *   node bench/idle.mjs [SESSIONS]      build first; wants `ulimit -n` above the number of sessions
 * They come from 250 addresses of loopback. The time is from the first octet of TCP to the 250 after the message.
 * The yardstick for the memory is a server of Node's that has the same sessions inside TLS and says three words to each.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { startRelay } from "../demo/relay.mjs";

const sessions = Number(process.argv[2] ?? 5_000);
const addresses = 250;
const atOnce = 50;
const tries = 21;

const relay = await startRelay(`[limits]
connections = ${sessions + 100}
connections-per-address = ${Math.ceil(sessions / addresses) + atOnce}
messages-per-hour = 1000000`);
const ca = await readFile(relay.certificate);
const login = `AUTH PLAIN ${Buffer.from(`\0${relay.login}\0${relay.password}`).toString("base64")}\r\n`;

/** Nothing but TLS: says its port, then to each client what one that logs in waits for. */
const bare = `
  import { readFileSync } from "node:fs";
  import { createServer } from "node:tls";
  const [key, cert] = process.argv.slice(1).map((path) => readFileSync(path));
  const server = createServer({ key, cert }, (socket) => {
    socket.on("error", () => undefined);
    socket.on("data", (line) => socket.write(line.includes("AUTH") ? "235 ok\\r\\n" : "250 ok\\r\\n"));
    socket.write("220 ok\\r\\n");
  });
  server.listen(0, "127.0.0.1", () => console.log(server.address().port));`;

/** @param {number} port @param {string} from the client's address */
async function session(port, from) {
  const host = "127.0.0.1";
  const socket = connectTls({ host, socket: connect({ host, port, localAddress: from, noDelay: true }), ca });
  let text = "";
  let wake = () => {};
  /** @type {Error | undefined} */
  let failure;
  socket.on("data", (/** @type {Buffer} */ chunk) => {
    text += chunk.toString("latin1");
    wake();
  });
  socket.on("error", (error) => {
    failure = error;
    wake();
  });
  socket.on("close", () => {
    failure ??= new Error("closed");
    wake();
  });
  /** @param {string} code */
  const hear = async (code) => {
    for (;;) {
      const reply = /^(?:\d{3}-.*\r\n)*\d{3}(?: .*)?\r\n/.exec(text)?.[0];
      if (reply?.startsWith(code)) {
        text = text.slice(reply.length);
        return;
      }
      if (reply !== undefined || failure) throw new Error(`expected ${code}, heard ${reply ?? failure}`);
      await new Promise((/** @type {(value: void) => void} */ resolve) => {
        wake = resolve;
      });
    }
  };
  await hear("220");
  socket.write("EHLO client.example.org\r\n");
  await hear("250");
  socket.write(login);
  await hear("235");
  return { socket, hear };
}

async function send() {
  const begun = performance.now();
  const { socket, hear } = await session(relay.submissions, "127.0.0.1");
  socket.write("MAIL FROM:<user1@example.org>\r\nRCPT TO:<x@example.net>\r\nDATA\r\n");
  for (const code of ["250", "250", "354"]) await hear(code);
  socket.write(`From: user1@example.org\r\nTo: x@example.net\r\n\r\n${"x".repeat(70)}\r\n.\r\n`);
  await hear("250");
  const took = performance.now() - begun;
  socket.destroy();
  return took;
}

/** Milliseconds: the middle one and the worst of some, one after the other. */
async function latency() {
  const times = [];
  for (let count = 0; count < tries; count++) times.push(await send());
  times.sort((one, other) => one - other);
  return { median: times[Math.floor(tries / 2)] ?? 0, worst: times.at(-1) ?? 0 };
}

/**
 * MiB that a process has in memory, when it has had time to put away what it no longer wants.
 * @param {number} pid
 */
async function memory(pid) {
  await pause(5_000);
  const status = await readFile(`/proc/${pid}/status`, "latin1");
  return Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1_024;
}

/** @param {string} what @param {{ median: number, worst: number }} times @param {number} [used] */
function show(what, { median, worst }, used = 0) {
  const figures = [median.toFixed(1), worst.toFixed(1), used.toFixed(0)].map((text) => text.padStart(12));
  console.log(what.padEnd(24) + figures.join(""));
}

/**
 * Opens the sessions and leaves them alone.
 * @param {number} port
 */
async function crowd(port) {
  /** @type {import("node:tls").TLSSocket[]} */
  const idle = [];
  let next = 0;
  const openSome = async () => {
    while (next < sessions) {
      next += 1;
      const { socket } = await session(port, `127.0.${next % addresses}.2`);
      idle.push(socket);
    }
  };
  await Promise.all(Array.from({ length: atOnce }, openSome));
  return {
    leave: () => {
      if (idle.some(({ destroyed }) => destroyed)) throw new Error("some sessions did not stay");
      for (const socket of idle) socket.destroy();
    },
  };
}

const each = (/** @type {number} */ mebibytes) =>
  `${((mebibytes * 1_024) / sessions).toFixed(1)} KiB a session`;

async function yardstick() {
  const files = ["key.pem", "certificate.pem"].map((name) => join(relay.folder, name));
  const server = spawn(process.execPath, ["--input-type=module", "-e", bare, ...files]);
  try {
    const [line] = await once(server.stdout, "data");
    await session(Number(line), "127.0.0.1");
    const before = await memory(server.pid ?? 0);
    const others = await crowd(Number(line));
    console.log(`TLS alone: ${each((await memory(server.pid ?? 0)) - before)}`);
    others.leave();
  } finally {
    server.kill("SIGKILL");
  }
}

try {
  console.log(`${sessions} idle sessions inside TLS; Node ${process.versions.node}`);
  console.log("".padEnd(24) + ["median ms", "worst ms", "MiB"].map((text) => text.padStart(12)).join(""));
  await latency(); // warms it up
  const before = await memory(relay.pid);
  show("nobody else there", await latency(), before);
  const begun = performance.now();
  const others = await crowd(relay.submissions);
  const seconds = (performance.now() - begun) / 1_000;
  const after = await memory(relay.pid);
  show(`beside ${sessions} others`, await latency(), after);
  others.leave();
  console.log(`${each(after - before)}; ${(sessions / seconds).toFixed(0)} logged in a second`);
  await yardstick();
} finally {
  relay.signal("SIGKILL"); // it would say goodbye to all of them
  await relay.ended;
  await relay.stop();
}
