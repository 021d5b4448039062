/** Ports for programs that cannot choose one themselves. */
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { setTimeout as pause } from "node:timers/promises";

/**
 * A port that is free on all of `hosts`. From below the range that the kernel takes outgoing connections from,
 * so that no client of another test can have it by chance before the program does.
 * @param {readonly string[]} hosts 127.0.0.1 where none is given
 */
export async function freePort(...hosts) {
  for (;;) {
    const port = 10_000 + Math.floor(Math.random() * 20_000);
    const free = await Promise.all(
      (hosts.length > 0 ? hosts : ["127.0.0.1"]).map((host) => isFree(host, port)),
    );
    if (free.every(Boolean)) return port;
  }
}

/**
 * Resolves when something listens there; rejects when nothing does for 20 seconds.
 * @param {number} port
 */
export async function untilListening(port, host = "127.0.0.1") {
  const end = Date.now() + 20_000;
  while (!(await answers(port, host))) {
    if (Date.now() > end) throw new Error(`nothing listens on ${host}:${port}`);
    await pause(20);
  }
}

/**
 * @param {number} port
 * @param {string} host
 */
async function answers(port, host) {
  const socket = connect(port, host);
  try {
    await once(socket, "connect");
    return true;
  } catch {
    return false; // not yet
  } finally {
    socket.destroy();
  }
}

/**
 * @param {string} host
 * @param {number} port
 */
async function isFree(host, port) {
  const server = createServer();
  try {
    const listening = once(server, "listening");
    server.listen(port, host);
    await listening;
  } catch {
    return false; // taken, or not ours to have
  }
  await new Promise((resolve) => server.close(resolve));
  return true;
}
