/** Load on a server: starts the clients, lets them go, and tells what they saw and what it cost the server. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { pin, processorOf } from "./processes.mjs";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */

/**
 * @typedef {object} Plan what the clients do
 * @property {number} port inside TLS
 * @property {string} certificate path of what they trust
 * @property {string} password
 * @property {readonly string[]} logins taken in turn
 * @property {number} connections at a time
 * @property {boolean} reconnect whether each message has a connection and a login of its own
 * @property {number} opening of those that stay, how many are opened at the same time
 * @property {number} addresses from which they come
 * @property {number} domains of recipients
 * @property {number} size octets of a message
 * @property {number} messages at most
 * @property {number} seconds at most
 */

/**
 * @typedef {object} Seen what the clients saw
 * @property {number} messages
 * @property {number} refused clients with a connection of their own that did not get through
 * @property {number} seconds
 * @property {number} p50 milliseconds that a message took, from MAIL or, with a connection of its own, from that
 * @property {number} p99
 * @property {number} worst
 * @property {number} processor seconds that the clients themselves used
 */

/** @typedef {Seen & { cost: number, begun: number, client: number }} Measured cost: milliseconds of the server's processor for a message; client: the clients' share of a core */

/** @typedef {Pick<Plan, "port"> & Partial<Plan>} Wish */

/** What the cases have in common: 20 connections that are logged in before the clock starts, and messages of 5 kB. */
const usual = {
  logins: ["user1"],
  connections: 20,
  opening: 50,
  reconnect: false,
  addresses: 1,
  domains: 1,
  size: 5_000,
  messages: Number.MAX_SAFE_INTEGER,
  seconds: 5,
};

/**
 * Starts clients that are logged in and wait.
 * @param {Workspace} workspace
 * @param {Wish} wish
 * @param {number} [core] on which they are to run
 */
export async function openClients(workspace, wish, core) {
  const { certificate, password } = workspace.credentials;
  const child = spawn(process.execPath, [join(import.meta.dirname, "programs/clients.mjs")], {
    cwd: workspace.folder,
    stdio: ["pipe", "pipe", "inherit"],
  });
  const ended = once(child, "close");
  child.stdin.on("error", () => undefined); // its end is told below
  if (core !== undefined) pin([child.pid ?? 0], core);
  const lines = createInterface(child.stdout)[Symbol.asyncIterator]();
  const nextLine = async () => {
    const { value } = await lines.next();
    if (value === undefined) throw new Error("the clients failed");
    return value;
  };
  child.stdin.write(`${JSON.stringify({ ...usual, certificate, password, ...wish })}\n`);
  const clients = {
    /** @returns {Promise<Seen>} */
    async send() {
      child.stdin.write("go\n");
      return JSON.parse(await nextLine());
    },
    async stop() {
      child.kill("SIGKILL");
      await ended;
    },
  };
  const kept = await workspace.keep(Promise.resolve(clients));
  if ((await nextLine()) !== "ready") throw new Error("the clients are not ready");
  return kept;
}

/**
 * Has clients send to a server.
 * @param {Workspace} workspace
 * @param {{ port: number, roots: () => readonly number[] }} server
 * @param {Partial<Plan>} wish
 * @param {object} [more]
 * @param {number} [more.core] on which the clients are to run
 * @param {(sent: number) => Promise<number>} [more.done] resolves when the server is done with so many, to the time of it; else that is when the
 *   last is accepted
 * @returns {Promise<Measured>}
 */
export async function load(workspace, server, wish, { core, done } = {}) {
  const clients = await openClients(workspace, { ...wish, port: server.port }, core);
  try {
    const before = processorOf(server.roots());
    const begun = performance.now();
    const seen = await clients.send();
    const seconds = done ? ((await done(seen.messages)) - begun) / 1_000 : seen.seconds;
    const cost = (1_000 * (processorOf(server.roots()) - before)) / seen.messages;
    return { ...seen, seconds, cost, begun, client: seen.processor / seen.seconds };
  } finally {
    await clients.stop();
  }
}
