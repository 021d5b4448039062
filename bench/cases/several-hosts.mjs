/**
 * What a database costs that several hosts share: one relay with files, one with a database, and three with that database, also
 * with a standby that has each message before its 250. The relays and the database are on the same machine, where they have
 * the same cores and the same disk: hosts of their own have more. The clients are the same processes in each arrangement.
 */
import { interleaved } from "../bench.mjs";
import { silentHop, startSink } from "../hops.mjs";
import { loginsFor, prepareHosts } from "../hosts.mjs";
import { openClients } from "../load.mjs";
import { postgresPrograms, startPostgres } from "../postgres.mjs";
import { processorOf } from "../processes.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../sides.mjs").Side} Side */
/** @typedef {"alone" | "database" | "three" | "standby" | "three-standby"} Arrangement */

/**
 * @typedef {object} Servers
 * @property {readonly number[]} ports one for each process of the clients
 * @property {() => readonly number[]} roots with those of the database
 * @property {() => Promise<void>} stop
 */

/** @type {readonly (readonly [Arrangement, string])[]} */
const arrangements = [
  ["alone", "one host with files"],
  ["database", "one with a database"],
  ["three", "three with a database"],
  ["standby", "one with a database and a standby"],
  ["three-standby", "three with a database and a standby"],
];

/** Of the clients, each with so many connections. */
const processes = 3;
const connections = 7;

const logins = loginsFor(processes * connections);

/**
 * Relays that share a database.
 * @param {Bench} bench
 * @param {{ checkout: string, hop: number, size: number, hasStandby: boolean }} wanted
 * @returns {Promise<Servers>}
 */
async function startHosts({ workspace }, { checkout, hop, size, hasStandby }) {
  const server = await workspace.keep(startPostgres(workspace.folder, postgresPrograms() ?? "", hasStandby));
  const { url } = await server.database();
  const relays = await prepareHosts(workspace, { checkout, hop, size, url, logins });
  for (const relay of relays) await relay.start();
  const ports = Array.from({ length: processes }, (_, at) => relays[at % size]?.port ?? 0);
  return {
    ports,
    roots: () => [...relays.map(({ pid }) => pid), ...server.roots()],
    async stop() {
      for (const relay of relays) await relay.stop();
      await server.stop();
    },
  };
}

/**
 * @param {Bench} bench
 * @param {string} id
 * @param {string} text
 * @param {boolean} delivers
 */
function measureHosts(bench, id, text, delivers) {
  const { workspace, quick } = bench;

  /** @param {Side} side */
  async function open(side) {
    const sink = await startSink(workspace, bench.hasPostfix);
    const silent = await workspace.keep(silentHop());
    const hop = delivers ? sink.port : silent.port;
    const alone = await side.start(workspace, { hop: sink.port, hold: !delivers, logins });
    /** @type {Partial<Record<Arrangement, Servers>>} */
    const servers = {
      alone: {
        ports: Array.from({ length: processes }, () => alone.port),
        roots: alone.roots,
        stop: alone.stop,
      },
    };
    const { checkout } = side;
    if (checkout !== undefined) {
      const start = (/** @type {number} */ size, /** @type {boolean} */ hasStandby) =>
        startHosts(bench, { checkout, hop, size, hasStandby });
      servers.database = await start(1, false);
      servers.three = await start(3, false);
      servers.standby = await start(1, true);
      servers["three-standby"] = await start(3, true);
    }

    /** @param {Servers} those @param {number} seconds */
    async function send({ ports, roots }, seconds) {
      const clients = await Promise.all(
        ports.map((port, at) => {
          const theirs = logins.slice(at * connections, (at + 1) * connections);
          return openClients(workspace, { port, connections, logins: theirs, seconds });
        }),
      );
      const [taken, used] = [sink.taken(), processorOf(roots())];
      const begun = performance.now();
      const seen = await Promise.all(clients.map((one) => one.send()));
      const messages = seen.reduce((sum, one) => sum + one.messages, 0);
      const end = delivers ? await sink.has(taken + messages) : performance.now();
      const took = (end - begun) / 1_000;
      const found = {
        rate: messages / took,
        cost: (1_000 * (processorOf(roots()) - used)) / messages,
        p99: Math.max(...seen.map((one) => one.p99)),
        clients: seen.reduce((sum, one) => sum + one.processor, 0) / took,
      };
      for (const one of clients) await one.stop();
      return found;
    }

    for (const those of Object.values(servers)) await send(those, quick ? 0.5 : 1.5);
    return {
      async measure() {
        /** @type {Partial<Record<Arrangement, Awaited<ReturnType<typeof send>>>>} */
        const found = {};
        for (const [key] of arrangements) {
          const those = servers[key];
          if (those) found[key] = await send(those, quick ? 1 : 3);
        }
        return found;
      },
      async stop() {
        for (const those of Object.values(servers)) await those.stop();
        await silent.stop();
        await sink.stop();
      },
    };
  }

  /** @typedef {Awaited<ReturnType<Awaited<ReturnType<typeof open>>["measure"]>>} Found */
  /** @type {import("../bench.mjs").Row<Found>[]} */
  const rows = arrangements.flatMap(([key, name]) => {
    const start = `several-hosts-${id}-${key}`;
    const what = `${text}, ${name}`;
    /** @type {import("../bench.mjs").Row<Found>[]} */
    const each = [
      { id: `${start}.rate`, text: what, unit: "messages/s", of: (all) => all[key]?.rate ?? Number.NaN },
      {
        id: `${start}.cpu`,
        text: `${what}: processor each`,
        unit: "ms",
        digits: 2,
        of: (all) => all[key]?.cost ?? Number.NaN,
      },
      {
        id: `${start}.p99`,
        text: `${what}: 99 % take at most`,
        unit: "ms",
        digits: 1,
        of: (all) => all[key]?.p99 ?? Number.NaN,
      },
      {
        id: `${start}.clients`,
        text: `${what}: clients`,
        unit: "% of a core",
        about: "load maker",
        of: (all) => 100 * (all[key]?.clients ?? Number.NaN),
      },
    ];
    return each;
  });
  return interleaved(bench, bench.sides, { open, measure: (subject) => subject.measure() }, rows);
}

/** @type {Case} */
export const severalHostsCase = {
  name: "several-hosts",
  title: "three relays with one database, beside one with files",
  asked: true,
  async run(bench) {
    if (postgresPrograms() === undefined)
      throw new Error("there is no PostgreSQL here: Debian's package postgresql has it");
    return [
      ...(await measureHosts(bench, "spool", "into the spool", false)),
      ...(await measureHosts(bench, "deliver", "accepted and delivered", true)),
    ];
  },
};
