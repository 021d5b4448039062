/** 100 000 queued messages: how long it takes to list them, to know them all after a start, and to deliver the first. */
import { execFileSync } from "node:child_process";
import { copyFileSync, readdirSync, readFileSync, statSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { run } from "../../test/tools/child.mjs";
import { interleaved } from "../bench.mjs";
import { fillFolders, fillJournal } from "../fill.mjs";
import { silentHop, startSink } from "../hops.mjs";
import { load } from "../load.mjs";
import { startPostfixAndDovecot } from "../postfix.mjs";
import { processorOf } from "../processes.mjs";
import { prepareRelay } from "../relay.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../relay.mjs").Relay} Relay */

/**
 * Seconds, and those of processor, of a command that writes into /dev/null.
 * @param {string} program
 * @param {readonly string[]} words
 */
export async function timed(program, words) {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null';
  const { status, stderr } = await run("bash", ["-c", script, "bash", program, ...words]);
  if (status !== 0) throw new Error(`${program} ${words.join(" ")}: ${stderr}`);
  const [real = 0, user = 0, system = 0] = (stderr.trim().split("\n").at(-1) ?? "").split(" ").map(Number);
  return { seconds: real, processor: user + system };
}

const to = (/** @type {number} */ port) => `[delivery]\nrelay = "smtp://127.0.0.1:${port}"`;

/**
 * Starts it with nobody to deliver to, and looks until its metrics count all.
 * @param {Relay} relay
 * @param {number} messages
 */
export async function untilKnown(relay, messages) {
  const begun = performance.now();
  await relay.start();
  const listening = (performance.now() - begun) / 1_000;
  for (;;) {
    const [, known] =
      /^tpa_submit_queue_messages\{state="waiting"\} (\d+)/m.exec(await relay.metrics()) ?? [];
    if (Number(known) >= messages) break;
    if (performance.now() - begun > 120_000) throw new Error(`it knows ${known} of ${messages} messages`);
    await pause(50); // to count them is work as well
  }
  return { listening, known: (performance.now() - begun) / 1_000, processor: processorOf([relay.pid]) };
}

/** Whether `serve` of a checkout has new messages in a journal. @param {Relay} relay */
async function usesJournal(relay) {
  await relay.start();
  await relay.end("SIGTERM");
  return readdirSync(relay.spool).includes("journal");
}

/** @typedef {Record<"list" | "processor" | "running" | "summary" | "listening" | "known" | "first" | "memory", number>} Found */

/** What a side without the state has. @type {Found} */
const none = {
  list: Number.NaN,
  processor: Number.NaN,
  running: Number.NaN,
  summary: Number.NaN,
  listening: Number.NaN,
  known: Number.NaN,
  first: Number.NaN,
  memory: Number.NaN,
};

/**
 * @param {Bench} bench
 * @param {import("../sides.mjs").Side} side
 * @param {"folders" | "journal"} state
 * @param {number} messages
 */
async function openLongQueue(bench, { checkout = "" }, state, messages) {
  const { workspace } = bench;
  const silent = await workspace.keep(silentHop());
  const sink = await startSink(workspace, bench.hasPostfix);
  const relay = await prepareRelay(workspace, checkout, to(silent.port));
  const stop = async () => {
    await relay.stop();
    await silent.stop();
    await sink.stop();
  };
  if (state === "journal" && !(await usesJournal(relay))) return { stop, measure: async () => none };
  await (state === "journal" ? fillJournal : fillFolders)(checkout, relay.spool, messages);
  const queue = (/** @type {string} */ word) =>
    timed(relay.program, ["queue", word, "--config", relay.config]);
  let left = messages;

  async function measure() {
    const list = await queue("list");
    const summary = await queue("summary");
    await relay.configure(to(silent.port));
    const { listening, known } = await untilKnown(relay, left);
    const running = await queue("list");
    const memory =
      Number(/^VmHWM:\s+(\d+)/m.exec(readFileSync(`/proc/${relay.pid}/status`, "utf8"))?.[1]) / 1_024;
    await relay.end("SIGKILL");
    await relay.configure(to(sink.port));
    const begun = performance.now();
    const arrived = sink.has(sink.taken() + 1);
    await relay.start();
    const first = ((await arrived) - begun) / 1_000;
    await relay.end("SIGTERM"); // what is delivered is written down
    await pause(50); // the sink has told by now
    left = messages - sink.taken();
    return {
      list: list.seconds,
      processor: list.processor,
      running: running.seconds,
      summary: summary.seconds,
      listening,
      known,
      first,
      memory,
    };
  }
  return { stop, measure };
}

/**
 * A Postfix with as many messages on hold: one is sent, and the others are copies of its file.
 * @param {Bench} bench
 * @param {number} messages
 */
async function openPostfix({ workspace }, messages) {
  const postfix = await startPostfixAndDovecot(workspace, { hold: true });
  await load(workspace, postfix, { connections: 1, messages: 1, size: 1_000 });
  const hold = join(postfix.queue, "hold");
  const [one = ""] = readdirSync(hold);
  const { uid, gid } = statSync(join(hold, one));
  for (let number = 1; number < messages; number += 1) {
    copyFileSync(join(hold, one), join(hold, `A${number.toString(16).toUpperCase().padStart(9, "0")}`));
  }
  execFileSync("chown", ["-R", `${uid}:${gid}`, hold]);
  const words = ["-c", postfix.folder, "-p"];
  const { stdout } = await run("postqueue", words);
  if (!stdout.includes(` ${messages} Requests.`)) throw new Error(`postqueue: ${stdout.slice(-200)}`);
  return {
    stop: () => postfix.stop(),
    async measure() {
      const { seconds } = await timed("postqueue", words); // the processor's work is that of its showq
      return { ...none, list: seconds };
    },
  };
}

/**
 * @param {Bench} bench
 * @param {"folders" | "journal"} state
 */
function longQueue(bench, state) {
  const messages = bench.quick ? 2_000 : 100_000;
  const sides =
    state === "folders" ? bench.sides : bench.sides.filter(({ checkout }) => checkout !== undefined);
  /** @param {import("../sides.mjs").Side} side */
  const open = (side) =>
    side.checkout === undefined ? openPostfix(bench, messages) : openLongQueue(bench, side, state, messages);
  const of = `${bench.quick ? "2 000" : "100 000"} in ${state === "folders" ? "folders, tried once" : "the journal, never tried"}`;
  /** @type {(name: keyof Found, text: string, unit?: string) => import("../bench.mjs").Row<Found>} */
  const row = (name, text, unit = "s") => ({
    id: `queue-${state}.${name}`,
    text: `${of}: ${text}`,
    unit,
    digits: unit === "s" ? 2 : 0,
    of: (found) => found[name],
  });
  return interleaved(bench, sides, { open, measure: (subject) => subject.measure() }, [
    row("list", "queue list"),
    row("processor", "queue list, processor"),
    row("running", "queue list beside the running relay"),
    row("summary", "queue summary"),
    row("listening", "start until it listens"),
    row("known", "start until all are known"),
    row("first", "start until the first is delivered"),
    row("memory", "memory at its height", "MiB"),
  ]);
}

/** @type {Case} */
export const queueCase = {
  name: "queue",
  title: "100 000 queued messages",
  async run(bench) {
    return [...(await longQueue(bench, "folders")), ...(await longQueue(bench, "journal"))];
  },
};
