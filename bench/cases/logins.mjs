/** Clients that connect, log in, send one message and leave: a new login each time, and the same one again. */
import { interleaved } from "../bench.mjs";
import { startSink } from "../hops.mjs";
import { load } from "../load.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */

/** More than anybody can check in a repeat. */
const perRepeat = 1_000;

/**
 * @param {Bench} bench
 * @param {string} id
 * @param {string} text
 * @param {boolean} cold whether nobody comes twice
 */
function logins(bench, id, text, cold) {
  const { workspace, quick } = bench;
  const everybody = Array.from(
    { length: cold ? perRepeat * bench.repeats : 1 },
    (_, number) => `user${number + 1}`,
  );
  const steps = {
    /** @param {import("../bench.mjs").Side} side */
    async open(side) {
      const sink = await startSink(workspace, bench.hasPostfix);
      const server = await side.start(workspace, { hop: sink.port, hold: true, logins: everybody });
      return {
        server,
        async stop() {
          await server.stop();
          await sink.stop();
        },
      };
    },
    /** @param {{ server: import("../sides.mjs").Server }} subject @param {number} repeat */
    async measure({ server }, repeat) {
      const some = cold ? everybody.slice(repeat * perRepeat, (repeat + 1) * perRepeat) : everybody;
      if (!cold)
        await load(workspace, server, { logins: some, reconnect: true, connections: 1, messages: 1 });
      const seconds = quick ? 1 : cold ? 6 : 4;
      const found = await load(workspace, server, {
        logins: some,
        reconnect: true,
        seconds,
        messages: perRepeat * (cold ? 1 : 100),
      });
      return { ...found, rate: found.messages / found.seconds };
    },
  };
  return interleaved(bench, bench.sides, steps, [
    { id: `${id}.rate`, text, unit: "messages/s", digits: 1, of: ({ rate }) => rate },
    { id: `${id}.cpu`, text: `${text}: processor each`, unit: "ms", digits: 1, of: ({ cost }) => cost },
    { id: `${id}.p50`, text: `${text}: half take at most`, unit: "ms", of: ({ p50 }) => p50 },
    { id: `${id}.p99`, text: `${text}: 99 % take at most`, unit: "ms", of: ({ p99 }) => p99 },
    {
      id: `${id}.refused`,
      text: `${text}: turned away`,
      unit: "clients",
      of: ({ refused }) => refused,
    },
    {
      id: `${id}.client`,
      text: `${text}: clients`,
      unit: "% of a core",
      about: "load maker",
      of: ({ client }) => client * 100,
    },
  ]);
}

/** @type {readonly Case[]} */
export const loginCases = [
  {
    name: "logins",
    title: "(d) a new login each time, bcrypt of cost 10",
    run: (bench) => logins(bench, "logins", "a new login each", true),
  },
  {
    name: "remembered",
    title: "(d) the same login each time",
    run: (bench) => logins(bench, "remembered", "the same login each", false),
  },
];
