/** What the load makers could do if the servers cost nothing: that they are not what is measured. */

import { runWell } from "../../test/tools/child.mjs";
import { interleaved, nothing } from "../bench.mjs";
import { startBareServer, startSink } from "../hops.mjs";
import { load } from "../load.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */

const self = { key: /** @type {const} */ ("ours"), name: "the clients" };

/**
 * The clients against a server that takes everything at once.
 * @param {Bench} bench
 * @param {string} id
 * @param {string} text
 * @param {Partial<import("../load.mjs").Plan>} plan
 */
function clients(bench, id, text, plan) {
  const { workspace, quick } = bench;
  const open = () => startBareServer(workspace);
  /** @param {import("../hops.mjs").Sink} server */
  async function measure(server) {
    const target = { port: server.port, roots: () => [] };
    const { messages, seconds, client } = await load(workspace, target, {
      ...plan,
      seconds: quick ? 0.5 : 2,
    });
    return { rate: messages / seconds, client };
  }
  return interleaved(bench, [self], { open, measure }, [
    { id: `${id}.rate`, text, unit: "messages/s", about: "load maker", of: ({ rate }) => rate },
    {
      id: `${id}.client`,
      text: `${text}: clients`,
      unit: "% of a core",
      about: "load maker",
      of: ({ client }) => client * 100,
    },
  ]);
}

/**
 * smtp-source to smtp-sink: how much the latter takes.
 * @param {Bench} bench
 */
function sink(bench) {
  const { workspace, quick } = bench;
  const messages = quick ? 1_000 : 15_000;
  const measure = async () => {
    const hop = await startSink(workspace);
    const words = ["-s", "20", "-l", "5000", "-m", String(messages), "-d", `127.0.0.1:${hop.port}`];
    const begun = performance.now();
    const all = hop.has(messages);
    await runWell("smtp-source", words);
    const seconds = ((await all) - begun) / 1_000;
    await hop.stop();
    return messages / seconds;
  };
  return interleaved(bench, [self], { open: async () => nothing, measure }, [
    {
      id: "ceiling-sink.rate",
      text: "smtp-source to smtp-sink",
      unit: "messages/s",
      about: "load maker",
      of: (rate) => rate,
    },
  ]);
}

/** @type {Case} */
export const ceilingCase = {
  name: "ceiling",
  title: "the load makers by themselves",
  async run(bench) {
    return [
      ...(await clients(bench, "ceiling", "clients to a bare server, 5 kB", {})),
      ...(await clients(bench, "ceiling-100kB", "clients to a bare server, 100 kB", { size: 100_000 })),
      ...(await clients(bench, "ceiling-10MB", "clients to a bare server, 10 MB", { size: 10_000_000 })),
      ...(await clients(bench, "ceiling-login", "clients that log in each time, to a bare server", {
        reconnect: true,
      })),
      ...(bench.hasPostfix ? await sink(bench) : []),
    ];
  },
};
