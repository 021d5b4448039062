/**
 * Reading a long queue: what `tpa-submit queue` takes for it, and how soon `tpa-submit serve` knows all of it.
 *   node bench/list.mjs [MESSAGES] [PROGRAM…]      build first
 * Makes a spool of MESSAGES (100 000) whose first attempts failed and whose next are due in a day. Each PROGRAM, ours or
 * bin/tpa-submit of another version, gets its turn, three times.
 */
import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { program as ours, prepareRelay } from "../demo/relay.mjs";
import { run, start } from "../test/tools/child.mjs";
import { freePort } from "../test/tools/port.mjs";
import { fill } from "./fill.mjs";

const messages = Number(process.argv[2] ?? 100_000);
const programs = process.argv.length > 3 ? process.argv.slice(3) : [ours];
const rounds = 3;

/** @param {number} number */
function triedOnce(number) {
  const login = `user${number % 100}`;
  return {
    login,
    sender: `${login}@example.org`,
    recipients: [
      {
        address: `r${number}@example.net`,
        state: /** @type {const} */ ("waiting"),
        reply: {
          code: 451,
          status: "4.7.1",
          text: "Greylisted, come back later",
          relay: "mx.example.net[192.0.2.1]:25",
          command: "RCPT TO",
          at: Date.now() - 3_599_000,
        },
      },
    ],
    attempts: 1,
    due: Date.now() + 86_400_000,
  };
}

/**
 * Seconds, and those of processor, of a command that writes into /dev/null.
 * @param {string} program
 * @param {readonly string[]} words
 */
async function timed(program, words) {
  const script = 'TIMEFORMAT="%R %U %S"; time "$@" >/dev/null 2>&1';
  const { stderr } = await run("bash", ["-c", script, "bash", program, ...words]);
  const [real = 0, user = 0, system = 0] = stderr.trim().split(" ").map(Number);
  return [real, user + system];
}

/** @param {number} pid */
async function processorOf(pid) {
  const [, rest = ""] = (await readFile(`/proc/${pid}/stat`, "utf8")).split(") ");
  const fields = rest.split(" ").map(Number);
  return ((fields[11] ?? 0) + (fields[12] ?? 0)) / 100; // utime and stime, in hundredths
}

/**
 * Seconds from the start of `serve` until its metrics count all messages, and those of processor.
 * @param {string} program
 * @param {string} config
 * @param {number} port
 */
async function untilKnown(program, config, port) {
  const begun = performance.now();
  const relay = start(program, ["serve", "--config", config]);
  try {
    for (;;) {
      await pause(250); // to count them is work as well
      const text = await fetch(`http://127.0.0.1:${port}/metrics`)
        .then((answer) => answer.text())
        .catch(() => "");
      const [, known] = /^tpa_submit_queue_messages\{state="waiting"\} (\d+)/m.exec(text) ?? [];
      if (Number(known) === messages) break;
    }
    return [(performance.now() - begun) / 1_000, await processorOf(relay.pid)];
  } finally {
    await relay.stop();
  }
}

const port = await freePort();
const relay = await prepareRelay(
  `[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:${port}"\n[delivery]\nrelay = "smtp://127.0.0.1:9"\n`,
);
try {
  await fill(join(relay.folder, "spool"), messages, "Subject: bulk\r\n\r\nbulk\r\n", triedOnce);
  console.log(
    `${messages} messages; Node ${process.versions.node}, load ${loadavg()[0]?.toFixed(1)}; seconds (of processor)`,
  );
  for (let round = 0; round < rounds; round += 1) {
    for (const program of programs) {
      console.log(program);
      for (const words of [["list"], ["list", "--json"], ["list", "--user", "user7"], ["summary"]]) {
        const [real = 0, cpu = 0] = await timed(program, ["queue", ...words, "--config", relay.config]);
        console.log(`  queue ${words.join(" ").padEnd(20)} ${real.toFixed(2)} (${cpu.toFixed(2)})`);
      }
      const [real = 0, cpu = 0] = await untilKnown(program, relay.config, port);
      console.log(`  serve knows all after      ${real.toFixed(2)} (${cpu.toFixed(2)})`);
    }
  }
} finally {
  await relay.stop();
}
