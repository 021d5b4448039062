/** Who is measured beside whom: this checkout, another one, and Postfix with Dovecot, each with the same few things to do. */
import { execFileSync } from "node:child_process";
import { join } from "node:path";
import { silentHop } from "./hops.mjs";
import { startPostfixAndDovecot } from "./postfix.mjs";
import { prepareRelay } from "./relay.mjs";

/** @typedef {import("./workspace.mjs").Workspace} Workspace */
/** @typedef {"ours" | "before" | "postfix"} Key */

/**
 * @typedef {object} Server what takes mail inside TLS
 * @property {number} port
 * @property {() => readonly number[]} roots of the trees of its processes
 * @property {(() => Promise<void>)} release has what waits delivered
 * @property {() => Promise<void>} stop
 */

/**
 * @typedef {object} Wanted
 * @property {number} hop port on 127.0.0.1 to which it delivers
 * @property {boolean} [hold] whether nothing is delivered until it is released
 * @property {readonly string[]} [logins]
 */

/**
 * @typedef {object} Side
 * @property {Key} key
 * @property {string} name
 * @property {string | undefined} checkout none where it is not a tpa-submit
 * @property {(workspace: Workspace, wanted: Wanted) => Promise<Server>} start
 */

/**
 * @param {Key} key
 * @param {string} name
 * @param {string} checkout
 * @returns {Side}
 */
export function tpaSubmit(key, name, checkout) {
  return {
    key,
    name,
    checkout,
    async start(workspace, { hop, hold = false, logins }) {
      const silent = hold ? await workspace.keep(silentHop()) : undefined;
      const to = (/** @type {number} */ port) => `[delivery]\nrelay = "smtp://127.0.0.1:${port}"`;
      const relay = await prepareRelay(workspace, checkout, to(silent?.port ?? hop), logins);
      await relay.start();
      return {
        port: relay.port,
        roots: () => [relay.pid],
        async release() {
          await relay.end("SIGKILL");
          await relay.configure(to(hop));
          await relay.start();
        },
        async stop() {
          await relay.stop();
          await silent?.stop();
        },
      };
    },
  };
}

/** @type {Side} */
export const postfix = {
  key: "postfix",
  name: "Postfix + Dovecot",
  checkout: undefined,
  start: startPostfixAndDovecot,
};

/**
 * The commit that a checkout has, with a mark where files were changed; nothing where Git does not tell.
 * @param {string} checkout
 */
export function commitOf(checkout) {
  try {
    const words = ["-C", checkout, "describe", "--always", "--dirty=+", "--abbrev=8"];
    return execFileSync("git", words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return "";
  }
}

/** What is missing for Postfix and Dovecot here; nothing where they can be started. */
export function missingForPostfix() {
  const missing = [];
  if (process.getuid?.() !== 0) missing.push("root, as whom Postfix wants to be started");
  for (const [program, words] of /** @type {const} */ ([
    ["postconf", ["-d", "mail_version"]],
    ["smtp-sink", []],
    ["dovecot", ["--version"]],
  ])) {
    try {
      execFileSync(program, words, {
        stdio: ["ignore", "ignore", "ignore"],
        env: { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` },
      });
    } catch (error) {
      if (error instanceof Error && "code" in error && error.code === "ENOENT") missing.push(program);
    }
  }
  return missing;
}

/** The folder of this checkout. */
export const here = join(import.meta.dirname, "..");
