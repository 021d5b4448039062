/** A password file of 100 000 logins that is read anew while mail flows: how long the unluckiest message takes. */
import { readFileSync, renameSync, writeFileSync } from "node:fs";
import { setTimeout as pause } from "node:timers/promises";
import { interleaved, programs } from "../bench.mjs";
import { silentHop } from "../hops.mjs";
import { openClients } from "../load.mjs";
import { processorOf } from "../processes.mjs";
import { prepareRelay } from "../relay.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */

/**
 * The same file with one more login, put in its place in one step.
 * @param {import("../relay.mjs").Relay} relay
 * @param {string} login
 */
export function changePasswords(relay, login) {
  const text = readFileSync(relay.passwords, "utf8");
  writeFileSync(
    `${relay.passwords}.new`,
    `${text}${login}:${text.slice(text.indexOf(":") + 1, text.indexOf("\n"))}\n`,
    {
      mode: 0o600,
    },
  );
  renameSync(`${relay.passwords}.new`, relay.passwords);
  process.kill(relay.pid, "SIGHUP");
}

/** @type {Case} */
export const reloadCase = {
  name: "reload",
  title: "a reload of 100 000 logins while one client sends",
  run(bench) {
    const { workspace, quick } = bench;
    const logins = Array.from({ length: quick ? 2_000 : 100_000 }, (_, number) => `user${number + 1}`);
    const [before, after] = quick ? [300, 700] : [1_000, 4_000];
    const steps = {
      /** @param {ReturnType<typeof programs>[number]} side */
      async open({ checkout }) {
        const silent = await workspace.keep(silentHop());
        const settings = `[delivery]\nrelay = "smtp://127.0.0.1:${silent.port}"`;
        const relay = await prepareRelay(workspace, checkout, settings, logins);
        await relay.start();
        return {
          relay,
          async stop() {
            await relay.stop();
            await silent.stop();
          },
        };
      },
      /** @param {{ relay: import("../relay.mjs").Relay }} subject @param {number} repeat */
      async measure({ relay }, repeat) {
        /** @param {boolean} reloads */
        const send = async (reloads) => {
          const seconds = (before + after) / 1_000;
          const clients = await openClients(workspace, { port: relay.port, connections: 1, seconds });
          const seen = clients.send();
          await pause(before);
          const used = processorOf([relay.pid]);
          if (reloads) changePasswords(relay, `more${repeat}`);
          const { worst, p50, messages } = await seen;
          await clients.stop();
          return { worst, p50, messages, used: processorOf([relay.pid]) - used };
        };
        return { without: await send(false), within: await send(true) };
      },
    };
    return interleaved(bench, programs(bench), steps, [
      {
        id: "reload.alone",
        text: "slowest message of one client",
        unit: "ms",
        digits: 1,
        of: ({ without }) => without.worst,
      },
      {
        id: "reload.worst",
        text: "slowest message of one client while 100 000 logins are read anew",
        unit: "ms",
        digits: 1,
        of: ({ within }) => within.worst,
      },
      {
        id: "reload.p50",
        text: "half of its messages take at most",
        unit: "ms",
        digits: 1,
        of: ({ within }) => within.p50,
      },
    ]);
  },
};
