/** The hosts that deliveries go to: one that takes everything, and one that never says a word. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { freePort, untilListening } from "../test/tools/port.mjs";
import { processorOf } from "./processes.mjs";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */

/**
 * @typedef {object} Sink
 * @property {string} name
 * @property {number} port
 * @property {number} pid
 * @property {() => number} taken messages so far
 * @property {(messages: number) => Promise<number>} has resolves when it has so many, to the time of it
 * @property {() => number} processor seconds that it has used
 * @property {() => Promise<void>} stop
 */

/** Milliseconds without a message after which none is waited for any more. */
const patience = 60_000;

const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin:/sbin` };

/**
 * Postfix's smtp-sink where it is there, else a program of our own.
 * @param {Workspace} workspace
 * @param {boolean} [real] whether smtp-sink is there
 * @returns {Promise<Sink>}
 */
export async function startSink(workspace, real = true) {
  const given = real ? await freePort() : 0;
  const words = [
    "-c",
    "-m",
    "1000",
    ...(process.getuid?.() === 0 ? ["-u", "nobody"] : []),
    `127.0.0.1:${given}`,
    "1000",
  ];
  return workspace.keep(
    real
      ? begin("smtp-sink", "smtp-sink", words, workspace.folder, given)
      : begin(
          "a sink of our own",
          process.execPath,
          [join(import.meta.dirname, "programs/sink.mjs")],
          workspace.folder,
        ),
  );
}

/**
 * A server that takes logins and messages inside TLS and does nothing with them: no server can be quicker.
 * @param {Workspace} workspace
 */
export function startBareServer(workspace) {
  const { certificate, key } = workspace.credentials;
  const words = [join(import.meta.dirname, "programs/sink.mjs"), certificate, key];
  return workspace.keep(begin("a bare server", process.execPath, words, workspace.folder));
}

/**
 * @param {string} name
 * @param {string} program
 * @param {readonly string[]} words
 * @param {string} cwd
 * @param {number} [given] its port, where it does not choose it itself
 * @returns {Promise<Sink>}
 */
async function begin(name, program, words, cwd, given) {
  const child = spawn(program, words, { cwd, env, stdio: ["ignore", "pipe", "inherit"] });
  const ended = once(child, "close");
  let taken = 0;
  let tail = "";
  if (given) await untilListening(given);
  const port = given ?? Number(String((await once(child.stdout, "data"))[0]));
  child.stdout.on("data", (/** @type {Buffer} */ chunk) => {
    tail = (tail + chunk.toString("latin1")).slice(-200);
    taken = Number(/.*mesg=(\d+)\D/s.exec(tail)?.[1] ?? taken);
  });
  /** @param {number} messages */
  async function until(messages) {
    let [seen, at] = [taken, performance.now()];
    while (taken < messages) {
      if (child.exitCode !== null || child.signalCode !== null) throw new Error(`${name} ended`);
      if (taken > seen) [seen, at] = [taken, performance.now()];
      if (performance.now() - at > patience)
        throw new Error(`${name} got ${taken} messages of ${messages} and no more`);
      await pause(2);
    }
    return performance.now();
  }

  return {
    name,
    port,
    pid: child.pid ?? 0,
    taken: () => taken,
    has(messages) {
      const all = until(messages);
      all.catch(() => undefined); // who waits for it may have failed before
      return all;
    },
    processor: () => processorOf([child.pid ?? 0]),
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
}

/** A next hop that takes connections and never says a word, in our own process: it costs nothing. */
export async function silentHop() {
  const sockets = new Set();
  const server = createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => undefined);
    socket.on("close", () => sockets.delete(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  return {
    port: typeof address === "object" && address !== null ? address.port : 0,
    async stop() {
      for (const socket of sockets) socket.destroy();
      server.close();
    },
  };
}
