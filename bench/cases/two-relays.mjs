/**
 * What several submission processes could bring at the most, before anybody builds them: two relays with a spool and a port
 * each, which have nothing in common, beside one. The clients are the same two processes in each case.
 */
import { readFileSync } from "node:fs";
import { availableParallelism } from "node:os";
import { interleaved, programs } from "../bench.mjs";
import { startSink } from "../hops.mjs";
import { openClients } from "../load.mjs";
import { pin, processorOf } from "../processes.mjs";
import { tpaSubmit } from "../sides.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../sides.mjs").Server} Server */
/** @typedef {"one" | "two" | "pinned"} Arrangement */

/** @type {readonly (readonly [Arrangement, string])[]} */
const arrangements = [
  ["one", "one relay"],
  ["two", "two relays"],
  ["pinned", "two relays, each on a core of its own"],
];

/** Of the clients, each with so many connections. */
const processes = 2;
const connections = 10;

/** Of each of the first two cores the ticks that it worked, and all of them: `user nice system idle iowait irq …` of proc(5). */
function cores() {
  return [0, 1].map((core) => {
    const line = new RegExp(`^cpu${core} (.*)$`, "m").exec(readFileSync("/proc/stat", "utf8"))?.[1] ?? "";
    const ticks = line.split(" ").slice(0, 8).map(Number);
    const all = ticks.reduce((sum, one) => sum + one, 0);
    return { busy: all - (ticks[3] ?? 0) - (ticks[4] ?? 0), all };
  });
}

/**
 * @param {Bench} bench
 * @param {string} id
 * @param {string} text
 * @param {boolean} delivers
 */
function measureTogether(bench, id, text, delivers) {
  const { workspace, quick } = bench;

  /** @param {ReturnType<typeof programs>[number]} side */
  async function open({ key, name, checkout }) {
    const sink = await startSink(workspace, bench.hasPostfix);
    const side = tpaSubmit(key, name, checkout);
    const start = () => side.start(workspace, { hop: sink.port, hold: !delivers });
    const alone = await start();
    const free = [await start(), await start()];
    const bound = [await start(), await start()];
    if (availableParallelism() > 1) for (const [core, { roots }] of bound.entries()) pin(roots(), core);
    /** @type {Record<Arrangement, readonly Server[]>} one for each process of the clients */
    const servers = { one: [alone, alone], two: free, pinned: bound };

    /** @param {readonly Server[]} those @param {number} seconds */
    async function run(those, seconds) {
      const roots = [...new Set(those)].flatMap((server) => server.roots());
      const clients = await Promise.all(
        those.slice(0, processes).map(({ port }) => openClients(workspace, { port, connections, seconds })),
      );
      const [taken, sunk, used, ticks] = [sink.taken(), sink.processor(), processorOf(roots), cores()];
      const begun = performance.now();
      const seen = await Promise.all(clients.map((one) => one.send()));
      const messages = seen.reduce((sum, one) => sum + one.messages, 0);
      const end = delivers ? await sink.has(taken + messages) : performance.now();
      const took = (end - begun) / 1_000;
      const busy = cores().map(({ busy: now, all }, core) => {
        const before = ticks[core] ?? { busy: 0, all: 0 };
        return (now - before.busy) / (all - before.all);
      });
      const found = {
        rate: messages / took,
        cost: (1_000 * (processorOf(roots) - used)) / messages,
        p99: Math.max(...seen.map((one) => one.p99)),
        clients: seen.reduce((sum, one) => sum + one.processor, 0) / took,
        sink: (sink.processor() - sunk) / took,
        busy,
      };
      for (const one of clients) await one.stop();
      return found;
    }

    for (const those of Object.values(servers)) await run(those, quick ? 0.5 : 1.5);
    return {
      async measure() {
        const seconds = quick ? 1 : 4;
        const one = await run(servers.one, seconds);
        const two = await run(servers.two, seconds);
        return { one, two, pinned: await run(servers.pinned, seconds) };
      },
      async stop() {
        for (const server of [alone, ...free, ...bound]) await server.stop();
        await sink.stop();
      },
    };
  }

  /** @typedef {Awaited<ReturnType<Awaited<ReturnType<typeof open>>["measure"]>>} Found */
  /** @type {import("../bench.mjs").Row<Found>[]} */
  const rows = arrangements.flatMap(([key, name]) => {
    const start = `two-relays-${id}-${key}`;
    const what = `${text}, ${name}`;
    /** @type {import("../bench.mjs").Row<Found>[]} */
    const each = [
      { id: `${start}.rate`, text: what, unit: "messages/s", of: (all) => all[key].rate },
      {
        id: `${start}.cpu`,
        text: `${what}: processor each`,
        unit: "ms",
        digits: 2,
        of: (all) => all[key].cost,
      },
      {
        id: `${start}.p99`,
        text: `${what}: 99 % take at most`,
        unit: "ms",
        digits: 1,
        of: (all) => all[key].p99,
      },
    ];
    /** @type {(part: string, of: (all: Found) => number) => import("../bench.mjs").Row<Found>} */
    const share = (part, of) => ({
      id: `${start}.${part}`,
      text: `${what}: ${part}`,
      unit: "% of a core",
      about: "load maker",
      of: (all) => 100 * of(all),
    });
    each.push(share("clients", (all) => all[key].clients));
    if (delivers) each.push(share("smtp-sink", (all) => all[key].sink));
    each.push(share("core 0 busy", (all) => all[key].busy[0] ?? Number.NaN));
    each.push(share("core 1 busy", (all) => all[key].busy[1] ?? Number.NaN));
    return each;
  });
  for (const key of /** @type {const} */ (["two", "pinned"])) {
    rows.push({
      id: `two-relays-${id}-${key}.gain`,
      text: `${text}, ${key === "two" ? "two relays" : "two relays, each on a core of its own"}: beside one`,
      unit: "times",
      digits: 2,
      of: (all) => all[key].rate / all.one.rate,
    });
  }
  return interleaved(bench, programs(bench), { open, measure: (subject) => subject.measure() }, rows);
}

/** @type {Case} */
export const twoRelaysCase = {
  name: "two-relays",
  title: "one relay and two side by side: what more processes could bring",
  asked: true,
  async run(bench) {
    return [
      ...(await measureTogether(bench, "spool", "into the spool", false)),
      ...(await measureTogether(bench, "deliver", "accepted and delivered", true)),
    ];
  },
};
