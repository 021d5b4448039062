/**
 * How the cost of a database that several hosts share grows with messages, with those that wait, with logins and with hosts: four
 * sizes of each, on one server of PostgreSQL beside the relays, each time with a database of its own.
 */
import { setTimeout as pause } from "node:timers/promises";
import { programs } from "../bench.mjs";
import { silentHop, startSink } from "../hops.mjs";
import { loginsFor, prepareHosts } from "../hosts.mjs";
import { load, openClients } from "../load.mjs";
import { postgresPrograms, startPostgres } from "../postgres.mjs";
import { memoryOf, processorOf } from "../processes.mjs";
import { here } from "../sides.mjs";
import { timed, untilKnown } from "./queue.mjs";
import { measureGrowths } from "./scale.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../relay.mjs").Relay} Relay */
/** @typedef {import("./scale.mjs").Growth} Growth */
/** @typedef {Awaited<ReturnType<typeof startPostgres>>} Server */

/**
 * @typedef {object} Stage
 * @property {readonly Relay[]} relays that are not started
 * @property {Relay} relay the first of them
 * @property {string} name of the database
 * @property {import("../hops.mjs").Sink} sink
 */

/**
 * Hosts with a new database, and somebody to deliver to, for the time of a task.
 * @template T
 * @param {Bench} bench
 * @param {Server} server
 * @param {{ hop: "silent" | "sink", size?: number }} wanted
 * @param {(stage: Stage) => Promise<T>} task
 */
async function withHosts(bench, server, { hop, size = 1 }, task) {
  const { workspace } = bench;
  const silent = await workspace.keep(silentHop());
  const sink = await startSink(workspace, bench.hasPostfix);
  const { name, url } = await server.database();
  const relays = await prepareHosts(workspace, {
    checkout: programs(bench)[0]?.checkout ?? here,
    hop: hop === "sink" ? sink.port : silent.port,
    size,
    url,
    logins: loginsFor(most),
  });
  const [relay] = relays;
  if (relay === undefined) throw new Error("there is always one");
  try {
    return await task({ relays, relay, name, sink });
  } finally {
    for (const one of relays) await one.stop();
    await silent.stop();
    await sink.stop();
    await server.sql(`DROP DATABASE ${name} WITH (FORCE)`);
  }
}

/** Connections at a time, each with a login of its own. */
const most = 20;

/** @param {Relay} relay */
const target = (relay) => ({ port: relay.port, roots: () => [relay.pid] });

/** Octets on the disk. @param {Server} server @param {string} name */
async function sizeOf(server, name) {
  await server.sql("VACUUM ANALYZE", name);
  return Number(await server.sql(`SELECT pg_database_size('${name}')`));
}

/**
 * Messages of 5 kB, promised, or promised and delivered.
 * @param {Server} server
 * @param {boolean} delivers
 * @returns {Growth}
 */
const messages = (server, delivers) => ({
  id: delivers ? "delivered" : "promised",
  against: `messages, ${delivers ? "accepted and delivered" : "promised"} in one go`,
  sizes: [500, 1_000, 2_000, 4_000],
  costs: [
    ["relay", "processor of the relay, each", "ms"],
    ["database", "processor of the database, each", "ms"],
    ["rate", "messages a second", "/s"],
  ],
  measure: (bench, size) =>
    withHosts(bench, server, { hop: delivers ? "sink" : "silent" }, async ({ relay, sink }) => {
      await relay.start();
      // Code is compiled first.
      const { messages: sent } = await load(
        bench.workspace,
        target(relay),
        { messages: bench.quick ? 50 : 1_000, seconds: 60, logins: loginsFor(most) },
        delivers ? { done: sink.has } : {},
      );
      const before = processorOf(server.roots());
      const { cost, seconds } = await load(
        bench.workspace,
        target(relay),
        { messages: size, seconds: 600, logins: loginsFor(most) },
        delivers ? { done: (more) => sink.has(sent + more) } : {},
      );
      return [cost, (1_000 * (processorOf(server.roots()) - before)) / size, size / seconds];
    }),
});

/** @param {Server} server @returns {Growth} */
const queued = (server) => ({
  id: "queued",
  against: "messages of 5 kB that wait, of a host that is gone",
  sizes: [1_000, 4_000, 16_000, 64_000],
  costs: [
    ["known", "start until another has taken all over", "s"],
    ["memory", "its memory", "MiB"],
    ["list", "queue list", "s"],
    ["disk", "database on the disk, each", "KiB"],
  ],
  measure: (bench, size) =>
    withHosts(bench, server, { hop: "silent" }, async ({ relay, name }) => {
      await relay.start();
      await load(bench.workspace, target(relay), { connections: 1, messages: 1, seconds: 60 });
      await relay.end("SIGKILL");
      const before = await sizeOf(server, name);
      // Copies of that one, each a millisecond older than the last.
      const id = "lpad(upper(to_hex(('x' || lpad(id, 16, '0'))::bit(64)::bigint - 16 * n)), 12, '0')";
      await server.sql(
        `INSERT INTO bodies (id, piece, octets) SELECT ${id}, piece, octets FROM bodies, generate_series(1, ${size - 1}) AS n;
         INSERT INTO messages (id, lease, due, login, envelope, size)
         SELECT ${id}, NULL, due, login, replace(envelope, id, ${id}), size FROM messages, generate_series(1, ${size - 1}) AS n`,
        name,
      );
      const disk = ((await sizeOf(server, name)) - before) / (size - 1) / 1_024;
      const { known } = await untilKnown(relay, size);
      await pause(1_000);
      const memory = memoryOf([relay.pid]) / 1_024;
      await relay.end("SIGKILL");
      const { seconds } = await timed(relay.program, ["queue", "list", "--config", relay.config]);
      return [known, memory, seconds, disk];
    }),
});

/** @param {Server} server @returns {Growth} */
const logins = (server) => ({
  id: "logins",
  against: "logins that have sent mail to five addresses each",
  sizes: [100, 1_000, 10_000, 100_000],
  costs: [
    ["listening", "start until it listens", "s"],
    ["memory", "memory", "MiB"],
    ["message", "login and message", "ms"],
    ["disk", "database on the disk, each", "KiB"],
  ],
  measure: (bench, size) =>
    withHosts(bench, server, { hop: "silent" }, async ({ relay, name }) => {
      await relay.start();
      await load(bench.workspace, target(relay), { connections: 1, domains: 5, messages: 20, seconds: 60 });
      await relay.end("SIGKILL");
      const before = await sizeOf(server, name);
      await server.sql(
        `INSERT INTO usage (login, state) SELECT 'other' || n, state FROM usage, generate_series(2, ${size}) AS n;
         INSERT INTO correspondents (login, digest, day)
         SELECT 'other' || n, digest, day FROM correspondents, generate_series(2, ${size}) AS n`,
        name,
      );
      const disk = ((await sizeOf(server, name)) - before) / (size - 1) / 1_024;
      const begun = performance.now();
      await relay.start();
      const listening = (performance.now() - begun) / 1_000;
      const visit = { connections: 1, reconnect: true, messages: 21 };
      const { p50 } = await load(bench.workspace, target(relay), visit);
      await pause(1_000);
      return [listening, memoryOf([relay.pid]) / 1_024, p50, disk];
    }),
});

/** Processes of the clients, as many as there are hosts at the most. */
const processes = 4;
const connections = most / processes;

/** @param {Server} server @returns {Growth} */
const hosts = (server) => ({
  id: "hosts",
  against: "hosts",
  per: 1,
  sizes: [1, 2, 3, 4],
  costs: [
    ["relays", "processor of the relays for a message that is promised", "ms"],
    ["database", "processor of the database for it", "ms"],
    ["rate", "messages a second, all on one machine", "/s"],
    ["idle", "processor of all of it while nobody sends, of a core", "%"],
  ],
  measure: (bench, size) =>
    withHosts(bench, server, { hop: "silent", size }, async ({ relays }) => {
      for (const relay of relays) await relay.start();
      const parts = { relays: () => relays.map(({ pid }) => pid), database: server.roots };
      const used = () => ({ relays: processorOf(parts.relays()), database: processorOf(parts.database()) });
      await pause(2_000);
      const [quiet, begun] = [used(), performance.now()];
      await pause(bench.quick ? 1_000 : 5_000);
      const [after, took] = [used(), (performance.now() - begun) / 1_000];
      const idle = (100 * (after.relays + after.database - quiet.relays - quiet.database)) / took;

      /** @param {number} seconds */
      async function send(seconds) {
        const clients = await Promise.all(
          Array.from({ length: processes }, (_, at) =>
            openClients(bench.workspace, {
              port: relays[at % size]?.port ?? 0,
              connections,
              logins: loginsFor(most).slice(at * connections, (at + 1) * connections),
              seconds,
            }),
          ),
        );
        const [before, start] = [used(), performance.now()];
        const seen = await Promise.all(clients.map((one) => one.send()));
        const [end, length] = [used(), (performance.now() - start) / 1_000];
        const count = seen.reduce((sum, one) => sum + one.messages, 0);
        for (const one of clients) await one.stop();
        return [
          (1_000 * (end.relays - before.relays)) / count,
          (1_000 * (end.database - before.database)) / count,
          count / length,
        ];
      }

      await send(bench.quick ? 0.5 : 1.5);
      return [...(await send(bench.quick ? 1 : 4)), idle];
    }),
});

/** @param {Bench} bench */
export async function severalHostsScale(bench) {
  const installed = postgresPrograms();
  if (installed === undefined)
    throw new Error("there is no PostgreSQL here: Debian's package postgresql has it");
  const server = await bench.workspace.keep(startPostgres(bench.workspace.folder, installed));
  try {
    return await measureGrowths(bench, [
      messages(server, false),
      messages(server, true),
      queued(server),
      logins(server),
      hosts(server),
    ]);
  } finally {
    await server.stop();
  }
}
