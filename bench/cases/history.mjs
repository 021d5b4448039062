/** What the history and the metrics cost: processor of a message with and without, and of a search in a million lines. */
import { execFileSync } from "node:child_process";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { interleaved, programs } from "../bench.mjs";
import { startSink } from "../hops.mjs";
import { load } from "../load.mjs";
import { prepareRelay } from "../relay.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../relay.mjs").Relay} Relay */

/**
 * Two relays that differ in nothing else take turns, each at full load: 20 connections, messages of 5 kB, accepted and
 * delivered.
 * @param {Bench} bench
 */
function atFullLoad(bench) {
  const { workspace, quick } = bench;
  const steps = {
    /** @param {ReturnType<typeof programs>[number]} side */
    async open({ checkout }) {
      const sink = await startSink(workspace, bench.hasPostfix);
      /** @param {string} keep */
      const startWith = async (keep) => {
        const tables = `[delivery]\nrelay = "smtp://127.0.0.1:${sink.port}"\n[history]\nkeep = "${keep}"\nsize = "10G"`;
        const relay = await prepareRelay(workspace, checkout, tables);
        await relay.start();
        return relay;
      };
      const relays = [await startWith("7d"), await startWith("0s")];
      /** @type {(relay: Relay, seconds: number) => Promise<number>} */
      const costOf = async (relay, seconds) => {
        const before = sink.taken();
        const server = { port: relay.port, roots: () => [relay.pid] };
        const done = (/** @type {number} */ sent) => sink.has(before + sent);
        return (await load(workspace, server, { seconds }, { done })).cost;
      };
      for (const relay of relays) await costOf(relay, quick ? 0.5 : 3); // code is compiled
      return {
        costOf,
        relays,
        async stop() {
          for (const relay of relays) await relay.stop();
          await sink.stop();
        },
      };
    },
    /**
     * @param {{ relays: readonly Relay[], costOf: (relay: Relay, seconds: number) => Promise<number> }} subject
     * @param {number} repeat
     * @param {ReturnType<typeof programs>[number]} side
     */
    async measure({ relays, costOf }, repeat, side) {
      /** @type {number[]} */
      const costs = [0, 0];
      const turns = quick ? 1 : 4; // short ones: what else happens on the machine hits both
      for (let turn = 0; turn < turns; turn += 1) {
        for (const which of (repeat + turn) % 2 === 0 ? [0, 1] : [1, 0]) {
          const relay = relays[which];
          if (relay) costs[which] = (costs[which] ?? 0) + (await costOf(relay, quick ? 0.5 : 3)) / turns;
        }
      }
      const [kept = 0, without = 0] = costs;
      return { kept, without, ...costsAlone(workspace, side.checkout, quick) };
    },
  };
  const text = "accepted and delivered";
  return interleaved(bench, programs(bench), steps, [
    {
      id: "history.on",
      text: `${text}, with the history: processor each`,
      unit: "ms",
      digits: 3,
      of: ({ kept }) => kept,
    },
    {
      id: "history.off",
      text: `${text}, without: processor each`,
      unit: "ms",
      digits: 3,
      of: ({ without }) => without,
    },
    {
      id: "history.difference",
      text: "difference, a share of the processor",
      unit: "%",
      digits: 1,
      of: ({ kept, without }) => 100 * (1 - without / kept),
    },
    {
      id: "history.share",
      text: "the history alone, a share of the processor",
      unit: "%",
      digits: 1,
      of: ({ kept, history }) => (100 * history) / kept,
    },
    {
      id: "metrics.share",
      text: "the metrics alone, a share of the processor",
      unit: "%",
      digits: 1,
      of: ({ kept, metrics }) => (100 * metrics) / kept,
    },
  ]);
}

/**
 * Milliseconds of processor for one message that the metrics take, and the history with its file: each by itself, in a
 * process that does nothing else, fed with what the log of a delivered message says. What a busy machine does to them it
 * does to the whole message as well.
 * @param {import("../workspace.mjs").Workspace} workspace
 * @param {string} checkout
 * @param {boolean} quick
 * @returns {{ metrics: number, history: number }}
 */
function costsAlone(workspace, checkout, quick) {
  const script = `
import { mkdtempSync } from "node:fs";
import { setImmediate as turn } from "node:timers/promises";
const { openMetrics } = await import("${checkout}/dist/server/log/metrics.js");
const { entryOf } = await import("${checkout}/dist/server/log/log.js");
const { openHistory } = await import("${checkout}/dist/commands/serve/history.js");
const at = { door: "submissions", client: "unknown[127.0.0.1]" };
const entriesOf = (number) => {
  const id = "1A2" + number.toString(16).toUpperCase().padStart(9, "0");
  return [
    entryOf("client", { ...at, id, mechanism: "PLAIN", login: "user1" }),
    entryOf("message-id", { id, messageId: number + "@example.org" }),
    entryOf("queued", { id, from: "user1@example.org", size: 5000, recipients: 1 }),
    entryOf("delivery", { id, to: "x@example.net", relay: "127.0.0.1[127.0.0.1]:2525", delays: [0.01, 0, 0, 0.02],
      reply: { code: 250, status: "2.0.0", text: "Ok" }, command: "end of DATA", use: 7 }),
    entryOf("removed", { id }),
  ];
};
const entries = Array.from({ length: 1000 }, (_, number) => entriesOf(number)).flat();
const rounds = ${quick ? 10 : 100};
async function costOf(note, end) {
  const round = async () => { for (const entry of entries) note(entry); await turn(); };
  for (let n = 0; n < 20; n += 1) await round();
  const before = process.cpuUsage();
  for (let n = 0; n < rounds; n += 1) await round();
  await end();
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000 / (rounds * 1_000);
}
const config = { history: { directory: mkdtempSync("${workspace.folder}/history-"), keep: 604_800_000, size: 10 * 2 ** 30 } };
const history = openHistory(config, () => config);
const metrics = openMetrics({});
console.log(JSON.stringify({
  metrics: await costOf(metrics.count, async () => {}),
  history: await costOf(history.note, () => history.close()),
}));
process.exit();`;
  const words = ["--input-type=module", "--eval", script];
  return JSON.parse(execFileSync(process.execPath, words, { encoding: "utf8" }));
}

/**
 * `tpa-submit trace RECIPIENT`, from its start to its end, over a history of a million lines.
 * @param {Bench} bench
 */
function search(bench) {
  const { workspace, quick } = bench;
  const lines = quick ? 20_000 : 1_000_000;
  const steps = {
    /** @param {ReturnType<typeof programs>[number]} side */
    async open({ checkout }) {
      const relay = await prepareRelay(workspace, checkout, "");
      await relay.start();
      await relay.end("SIGTERM");
      writeHistory(join(relay.spool, "events"), lines);
      return relay;
    },
    /** @param {Relay} relay */
    async measure(relay) {
      const words = [process.execPath, relay.program, "trace", "--config", relay.config, "rare@example.net"];
      // utime and stime of the children that a shell has waited for: fields 16 and 17 of proc(5)
      const stat = execFileSync("/bin/sh", ["-c", '"$@" >/dev/null; cat /proc/$$/stat', "sh", ...words], {
        encoding: "utf8",
      });
      const [utime = 0, stime = 0] = stat
        .slice(stat.lastIndexOf(")") + 2)
        .split(" ")
        .slice(13, 15)
        .map(Number);
      return (utime + stime) / Number(execFileSync("getconf", ["CLK_TCK"], { encoding: "utf8" }));
    },
  };
  return interleaved(bench, programs(bench), steps, [
    {
      id: "history-search.cpu",
      text: `${lines} lines of history searched by recipient: processor`,
      unit: "s",
      digits: 2,
      of: (seconds) => seconds,
    },
  ]);
}

/**
 * Three lines for each message, as `serve` writes them.
 * @param {string} folder
 * @param {number} lines
 */
function writeHistory(folder, lines) {
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  const start = Math.floor(Date.now() / 1_000) * 1_000 - 3_600_000;
  const all = [];
  for (let number = 0; number < lines / 3; number += 1) {
    const begin = `{"at":${start + Math.floor((number * 9_000_000) / lines)},"id":"1A2${number.toString(16).toUpperCase().padStart(9, "0")}"`;
    const to =
      number === Math.floor(lines / 6) ? "rare@example.net" : `recipient${number % 5_000}@example.net`;
    all.push(
      `${begin},"event":"accepted","from":"user${number % 100}@example.org","size":5012,"recipients":1,"door":"submissions","client":"unknown[192.0.2.${number % 250}]","mechanism":"PLAIN","login":"user${number % 100}","messageId":"${number}.1764417600@laptop.example.org"}\n`,
      `${begin},"event":"delivery","to":"${to}","relay":"mx.example.net[192.0.2.1]:25","delays":[0.011,0.001,0.02,0.04],"reply":{"code":250,"status":"2.0.0","text":"Ok: queued as 5F${number}"},"command":"end of DATA","tls":"Verified TLSv1.3"}\n`,
      `${begin},"event":"removed"}\n`,
    );
  }
  const name = `${new Date(start).toISOString().slice(0, 19).replaceAll(/[-:]/g, "")}Z.jsonl`;
  writeFileSync(join(folder, name), all.join(""), { mode: 0o600 });
}

/** @type {Case} */
export const historyCase = {
  name: "history",
  title: "what the history and the metrics cost",
  run: async (bench) => [...(await atFullLoad(bench)), ...(await search(bench))],
};
