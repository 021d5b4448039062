/** How the relay's cost grows with users, messages, queued messages, connections and destinations: four sizes of each. */
import { setTimeout as pause } from "node:timers/promises";
import { programs } from "../bench.mjs";
import { startDns } from "../dns.mjs";
import { fillFolders } from "../fill.mjs";
import { silentHop, startSink } from "../hops.mjs";
import { load, openClients } from "../load.mjs";
import { memoryOf, processorOf } from "../processes.mjs";
import { prepareRelay } from "../relay.mjs";
import { here } from "../sides.mjs";
import { timed, untilKnown } from "./queue.mjs";
import { changePasswords } from "./reload.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../relay.mjs").Relay} Relay */

/**
 * @typedef {object} Series
 * @property {string} id
 * @property {string} against what there is more and more of
 * @property {string} cost
 * @property {string} unit
 * @property {readonly number[]} sizes
 * @property {readonly number[]} values
 * @property {number} [per] for so many more the line tells the cost; for each thousand where that is left out
 */

/**
 * @typedef {object} Growth one thing of which there is more and more
 * @property {string} id
 * @property {string} against
 * @property {readonly number[]} sizes
 * @property {readonly (readonly [id: string, cost: string, unit: string])[]} costs
 * @property {number} [per] as in a series
 * @property {(bench: Bench, size: number) => Promise<readonly number[]>} measure the costs, in their order
 */

const to = (/** @type {number} */ port, more = "") =>
  `[delivery]\nrelay = "smtp://127.0.0.1:${port}"\n${more}`;

/** @param {Relay} relay */
const mebibytes = (relay) => memoryOf([relay.pid]) / 1_024;

/**
 * A relay of this checkout, or of the one that is measured alone, with somebody to deliver to, for the time of a task.
 * @template T
 * @param {Bench} bench
 * @param {"silent" | "sink"} hop
 * @param {(relay: Relay, sink: import("../hops.mjs").Sink, hop: number) => Promise<T>} task
 * @param {readonly string[]} [logins]
 */
async function withRelay(bench, hop, task, logins) {
  const { workspace } = bench;
  const silent = await workspace.keep(silentHop());
  const sink = await startSink(workspace, bench.hasPostfix);
  const port = hop === "sink" ? sink.port : silent.port;
  const relay = await prepareRelay(workspace, programs(bench)[0]?.checkout ?? here, to(port), logins);
  try {
    return await task(relay, sink, port);
  } finally {
    await relay.stop();
    await silent.stop();
    await sink.stop();
  }
}

/** @param {Relay} relay */
const server = (relay) => ({ port: relay.port, roots: () => [relay.pid] });

/** Median milliseconds of a client that connects, logs in with a password that is remembered, sends and leaves. @param {Bench} bench @param {Relay} relay */
async function visit({ workspace }, relay) {
  const { p50 } = await load(workspace, server(relay), { connections: 1, reconnect: true, messages: 21 });
  return p50;
}

/** @type {Growth} */
const users = {
  id: "users",
  against: "users",
  sizes: [100, 1_000, 10_000, 100_000],
  costs: [
    ["listening", "start until it listens", "s"],
    ["memory", "memory", "MiB"],
    ["login", "login and message", "ms"],
    ["reload", "processor of a reload", "s"],
  ],
  measure(bench, size) {
    const logins = Array.from({ length: size }, (_, number) => `user${number + 1}`);
    return withRelay(
      bench,
      "silent",
      async (relay) => {
        const begun = performance.now();
        await relay.start();
        const listening = (performance.now() - begun) / 1_000;
        const took = await visit(bench, relay);
        await pause(2_000);
        const memory = mebibytes(relay);
        const before = processorOf([relay.pid]);
        changePasswords(relay, "more");
        await pause(4_000);
        return [listening, memory, took, processorOf([relay.pid]) - before];
      },
      logins,
    );
  },
};

/** @type {Growth} */
const messages = {
  id: "messages",
  against: "messages, accepted and delivered in one go",
  sizes: [1_000, 3_000, 10_000, 30_000],
  costs: [
    ["cpu", "processor each", "ms"],
    ["rate", "messages a second", "/s"],
    ["memory", "memory afterwards", "MiB"],
  ],
  measure: (bench, size) =>
    withRelay(bench, "sink", async (relay, sink) => {
      await relay.start();
      // Code is compiled first.
      const warm = { messages: bench.quick ? 50 : 1_000, seconds: 60 };
      const { messages: sent } = await load(bench.workspace, server(relay), warm, { done: sink.has });
      const done = (/** @type {number} */ more) => sink.has(sent + more);
      const { cost, seconds } = await load(
        bench.workspace,
        server(relay),
        { messages: size, seconds: 600 },
        { done },
      );
      return [cost, size / seconds, mebibytes(relay)];
    }),
};

/** @type {Growth} */
const queued = {
  id: "queued",
  against: "queued messages, tried once",
  sizes: [1_000, 10_000, 30_000, 100_000],
  costs: [
    ["known", "start until all are known", "s"],
    ["memory", "memory", "MiB"],
    ["list", "queue list", "s"],
  ],
  measure: (bench, size) =>
    withRelay(bench, "silent", async (relay) => {
      await fillFolders(programs(bench)[0]?.checkout ?? here, relay.spool, size);
      const { known } = await untilKnown(relay, size);
      await pause(1_000);
      const memory = mebibytes(relay);
      await relay.end("SIGKILL");
      const { seconds } = await timed(relay.program, ["queue", "list", "--config", relay.config]);
      return [known, memory, seconds];
    }),
};

/** @type {Growth} */
const idle = {
  id: "idle",
  against: "idle connections, logged in",
  sizes: [100, 500, 2_000, 5_000],
  costs: [
    ["memory", "memory", "MiB"],
    ["login", "login and message of one more", "ms"],
  ],
  measure: (bench, size) =>
    withRelay(bench, "silent", async (relay) => {
      await relay.start();
      await visit(bench, relay);
      const clients = await openClients(bench.workspace, {
        port: relay.port,
        connections: size,
        addresses: 250,
        messages: 0,
      });
      await pause(3_000);
      const found = [mebibytes(relay), await visit(bench, relay)];
      await clients.stop();
      return found;
    }),
};

/** @type {Growth} */
const busy = {
  id: "busy",
  against: "busy connections",
  sizes: [5, 20, 100, 500],
  costs: [
    ["cpu", "processor of a message", "ms"],
    ["rate", "messages a second into the spool", "/s"],
    ["p50", "half of the messages take at most", "ms"],
  ],
  measure: (bench, size) =>
    withRelay(bench, "silent", async (relay) => {
      await relay.start();
      const plan = { connections: size, addresses: 10 };
      await load(bench.workspace, server(relay), { ...plan, seconds: 1.5 });
      const found = await load(bench.workspace, server(relay), { ...plan, seconds: bench.quick ? 1 : 5 });
      return [found.cost, found.messages / found.seconds, found.p50];
    }),
};

/** @type {Growth} */
const destinations = {
  id: "destinations",
  against: "destinations, of 5 000 messages",
  sizes: [1, 10, 100, 1_000],
  costs: [
    ["cpu", "processor each, accepted and delivered", "ms"],
    ["rate", "messages a second", "/s"],
    ["memory", "memory afterwards", "MiB"],
  ],
  measure: (bench, size) =>
    withRelay(bench, "sink", async (relay, sink, port) => {
      const dns = await bench.workspace.keep(startDns());
      await relay.configure(
        `[delivery]\nrelay = "mx"\nnameservers = ["127.0.0.1:${dns.port}"]\nport = ${port}\nprivate-addresses = true\nmta-sts = false`,
      );
      await relay.start();
      const plan = { domains: size, messages: bench.quick ? 300 : 5_000, seconds: 600 };
      const {
        cost,
        seconds,
        messages: sent,
      } = await load(bench.workspace, server(relay), plan, { done: sink.has });
      const found = [cost, sent / seconds, mebibytes(relay)];
      await dns.stop();
      return found;
    }),
};

const growths = [users, messages, queued, idle, busy, destinations];

/** @param {Bench} bench */
export const scale = (bench) => measureGrowths(bench, growths);

/**
 * @param {Bench} bench
 * @param {readonly Growth[]} growths
 * @returns {Promise<readonly Series[]>}
 */
export async function measureGrowths(bench, growths) {
  /** @type {Series[]} */
  const all = [];
  for (const { id, against, sizes: given, costs, per, measure } of growths) {
    const sizes = bench.quick
      ? given.map((size) => Math.min(size, Math.ceil(size / 50) + (given.indexOf(size) + 1)))
      : given;
    /** @type {(readonly number[])[]} */
    const found = [];
    for (const size of sizes) {
      bench.note(`${size} ${against}`);
      found.push(await measure(bench, size));
    }
    for (const [at, [name, cost, unit]] of costs.entries()) {
      all.push({
        id: `${id}.${name}`,
        against,
        cost,
        unit,
        sizes,
        values: found.map((values) => values[at] ?? 0),
        ...(per !== undefined && { per }),
      });
    }
  }
  return all;
}
