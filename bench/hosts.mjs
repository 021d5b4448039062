/** Relays that share a database, each in the name of a host of its own. */
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { prepareRelay } from "./relay.mjs";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */
/** @typedef {import("./relay.mjs").Relay} Relay */

/** A login for each of so many connections: hosts wait for each other where they promise messages of one. */
export const loginsFor = (/** @type {number} */ connections) =>
  Array.from({ length: connections }, (_, number) => `user${number + 1}`);

const run = promisify(execFile);

/**
 * Prepares them, with the tables of the database made: nothing is started.
 * @param {Workspace} workspace
 * @param {object} wanted
 * @param {string} wanted.checkout
 * @param {number} wanted.hop port on 127.0.0.1 to which they deliver
 * @param {number} wanted.size how many
 * @param {string} wanted.url as `spool.store` has it
 * @param {readonly string[]} [wanted.logins]
 * @returns {Promise<readonly Relay[]>}
 */
export async function prepareHosts(workspace, { checkout, hop, size, url, logins }) {
  /** @type {Relay[]} */
  const relays = [];
  for (let number = 0; number < size; number += 1) {
    const relay = await prepareRelay(workspace, checkout, "", logins);
    relay.hostname = `relay${number + 1}.example.org`;
    await relay.configure(
      `[delivery]\nrelay = "smtp://127.0.0.1:${hop}"\n[spool]\ndirectory = "${relay.spool}"\nstore = "${url}"`,
    );
    relays.push(relay);
  }
  const [first] = relays;
  if (first) await run(process.execPath, [first.program, "spool", "migrate", "--config", first.config]);
  return relays;
}
