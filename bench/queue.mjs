/**
 * A long queue: how soon `tpa-submit serve` starts with it, what it takes in memory, and how fast it leaves, beside Postfix.
 *   node bench/queue.mjs [MESSAGES] [DELIVERED]      build first; as root, because Postfix is started by root only
 * Makes a spool of MESSAGES (100 000) and starts serve, with an smtp-sink as its relay: seconds from the start of the
 * process until it listens and until the sink has the first message, and the memory at its height. The rate is that of
 * DELIVERED (5 000) messages. Postfix has as many in its hold queue, and the clock starts when they are released; each
 * has one destination and its own standard of 20 deliveries at a time there.
 */
import { readFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { prepareRelay } from "../demo/relay.mjs";
import { startPostfix } from "../test/interop/postfix.mjs";
import { runWell, start } from "../test/tools/child.mjs";
import { freePort, untilListening } from "../test/tools/port.mjs";
import { fill } from "./fill.mjs";

const messages = Number(process.argv[2] ?? 100_000);
const delivered = Math.min(Number(process.argv[3] ?? 5_000), messages);
const body = `Subject: bulk\r\n\r\n${"The quick brown fox jumps over the lazy dog.\r\n".repeat(106)}`;

/** An smtp-sink that counts. */
async function startSink() {
  const port = await freePort();
  const sink = start("smtp-sink", ["-c", "-u", "nobody", `127.0.0.1:${port}`, "1000"]);
  await untilListening(port);
  const taken = () => Number(/.*mesg=(\d+)/s.exec(sink.output())?.[1] ?? 0);
  return { port, taken, stop: () => sink.stop() };
}

/** @param {() => boolean} condition */
async function until(condition) {
  while (!condition()) await pause(5);
  return performance.now();
}

/**
 * @param {number} pid
 * @param {string} field
 */
async function memory(pid, field) {
  const status = await readFile(`/proc/${pid}/status`, "utf8");
  return Number(new RegExp(`^${field}:\\s+(\\d+)`, "m").exec(status)?.[1] ?? 0) / 1024;
}

async function ours() {
  const sink = await startSink();
  const relay = await prepareRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${sink.port}"\n`);
  try {
    await fill(join(relay.folder, "spool"), messages, body, () => ({}));
    const begun = performance.now();
    const first = until(() => sink.taken() > 0);
    await relay.start();
    const listening = performance.now();
    const arrived = await first;
    const rate = await rateOf(sink.taken);
    return {
      listening: (listening - begun) / 1000,
      first: (arrived - begun) / 1000,
      memory: await memory(relay.pid, "VmHWM"),
      rate,
    };
  } finally {
    relay.signal("SIGKILL");
    await relay.ended;
    await relay.stop();
    await sink.stop();
  }
}

async function theirs() {
  const sink = await startSink();
  const postfix = await startPostfix(`relayhost = [127.0.0.1]:${sink.port}
smtpd_recipient_restrictions = check_client_access static:HOLD, permit_mynetworks, reject
default_process_limit = 100
minimal_backoff_time = 300s
queue_run_delay = 300s`);
  try {
    const load = ["-s", "20", "-l", String(body.length), "-m", String(delivered)];
    const ends = ["-f", "user1@example.org", "-t", "r@example.net", `127.0.0.1:${postfix.port}`];
    await runWell("smtp-source", [...load, ...ends]);
    await runWell("postsuper", ["-c", postfix.folder, "-H", "ALL"]);
    await runWell("postqueue", ["-c", postfix.folder, "-f"]); // what is released is deferred
    await until(() => sink.taken() > 0);
    return await rateOf(sink.taken);
  } finally {
    await postfix.stop();
    await sink.stop();
  }
}

/**
 * Messages a second, from the first.
 * @param {() => number} taken
 */
async function rateOf(taken) {
  const [begun, before] = [performance.now(), taken()];
  const end = await until(() => taken() >= delivered);
  return (taken() - before) / ((end - begun) / 1000);
}

const postfixVersion = (await runWell("postconf", ["-d", "-h", "mail_version"])).trim();
console.log(
  `${messages} messages of 5 kB; Node ${process.versions.node}, Postfix ${postfixVersion}, load ${loadavg()[0]?.toFixed(1)}`,
);
const { listening, first, memory: height, rate } = await ours();
console.log(`tpa-submit listens after      ${listening.toFixed(2)} s`);
console.log(`the first is delivered after  ${first.toFixed(2)} s`);
console.log(`memory at its height          ${height.toFixed(0)} MiB`);
console.log(`tpa-submit delivers           ${rate.toFixed(0)} messages/s`);
console.log(`Postfix delivers              ${(await theirs()).toFixed(0)} messages/s`);
