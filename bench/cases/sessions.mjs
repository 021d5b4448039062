/** Many sessions that say nothing: their memory, and what those that send notice of them. */

import { setTimeout as pause } from "node:timers/promises";
import { interleaved, programs } from "../bench.mjs";
import { startBareServer } from "../hops.mjs";
import { load, openClients } from "../load.mjs";
import { startPostfixAndDovecot } from "../postfix.mjs";
import { memoryOf } from "../processes.mjs";
import { tpaSubmit } from "../sides.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */

const addresses = 250;

/**
 * KiB that each of `connections` sessions takes which have logged in and say nothing; they stay until `leave`.
 * @param {Bench} bench
 * @param {{ port: number, roots: () => readonly number[] }} server
 * @param {number} connections
 */
async function crowd({ workspace, quick }, server, connections) {
  const rest = quick ? 500 : 3_000; // what is not needed any more is put away meanwhile
  await pause(rest);
  const before = memoryOf(server.roots());
  // A Dovecot that has too much to check at once is given up by Postfix after ten seconds.
  const plan = { port: server.port, connections, opening: quick ? 10 : 20, addresses, messages: 0 };
  const clients = await openClients(workspace, plan);
  await pause(rest);
  return { each: (memoryOf(server.roots()) - before) / connections, leave: () => clients.stop() };
}

/**
 * Busy clients at two relays of each side in turn: one has the idle sessions beside them, the other has not.
 * @param {Bench} bench
 */
function beside(bench) {
  const { workspace, quick } = bench;
  const many = quick ? 200 : 5_000;
  const seconds = quick ? 1 : 3;
  const steps = {
    /** @param {ReturnType<typeof programs>[number]} side */
    async open({ key, name, checkout }) {
      const side = tpaSubmit(key, name, checkout);
      const [alone, crowded] = [
        await side.start(workspace, { hop: 9, hold: true }),
        await side.start(workspace, { hop: 9, hold: true }),
      ];
      for (const server of [alone, crowded]) await load(workspace, server, { seconds: quick ? 0.5 : 1.5 });
      const { each, leave } = await crowd(bench, crowded, many);
      return {
        alone,
        crowded,
        each,
        async stop() {
          await leave();
          await alone.stop();
          await crowded.stop();
        },
      };
    },
    /** @param {{ alone: import("../sides.mjs").Server, crowded: import("../sides.mjs").Server, each: number }} subject */
    async measure({ alone, crowded, each }) {
      const without = await load(workspace, alone, { seconds });
      const within = await load(workspace, crowded, { seconds });
      return { without, within, each };
    },
  };
  const those = `${many} idle sessions`;
  return interleaved(bench, programs(bench), steps, [
    {
      id: "idle.alone",
      text: "20 busy: 99 % take at most",
      unit: "ms",
      digits: 1,
      of: ({ without }) => without.p99,
    },
    {
      id: "idle.p99",
      text: `20 busy beside ${those}: 99 % take at most`,
      unit: "ms",
      digits: 1,
      of: ({ within }) => within.p99,
    },
    {
      id: "idle.rate-alone",
      text: "20 busy",
      unit: "messages/s",
      of: ({ without }) => without.messages / without.seconds,
    },
    {
      id: "idle.rate",
      text: `20 busy beside ${those}`,
      unit: "messages/s",
      of: ({ within }) => within.messages / within.seconds,
    },
    { id: "idle.memory", text: `memory of each of ${those}`, unit: "KiB", of: ({ each }) => each },
  ]);
}

/**
 * The same memory where it is many processes, so fewer sessions do; and of TLS in Node alone.
 * @param {Bench} bench
 */
async function others(bench) {
  const { workspace, quick } = bench;
  const bare = { key: /** @type {const} */ ("ours"), name: "TLS alone" };
  const yardstick = await interleaved(
    { ...bench, repeats: 1 },
    [bare],
    {
      open: () => startBareServer(workspace),
      measure: async (server) => {
        const { each, leave } = await crowd(
          bench,
          { port: server.port, roots: () => [server.pid] },
          quick ? 200 : 2_000,
        );
        await leave();
        return each;
      },
    },
    [
      {
        id: "idle-bare.memory",
        text: "memory of each session of a bare TLS server in Node",
        unit: "KiB",
        of: (each) => each,
      },
    ],
  );
  if (!bench.sides.some(({ key }) => key === "postfix")) return yardstick;
  const theirs = await interleaved(
    { ...bench, repeats: 1 },
    [{ key: /** @type {const} */ ("postfix"), name: "Postfix + Dovecot" }],
    {
      open: () => startPostfixAndDovecot(workspace, { hold: true }),
      measure: async (server) => {
        const { each, leave } = await crowd(bench, server, 100);
        await leave();
        return each;
      },
    },
    [{ id: "idle-100.memory", text: "memory of each of 100 idle sessions", unit: "KiB", of: (each) => each }],
  );
  return [...yardstick, ...theirs];
}

/** @type {Case} */
export const sessionsCase = {
  name: "idle",
  title: "5 000 idle sessions",
  run: async (bench) => [...(await beside(bench)), ...(await others(bench))],
};
