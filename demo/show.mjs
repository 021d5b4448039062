/**
 * Starts a throwaway relay, sends one message through each of its doors, and shows what happened.
 * With --once it ends there: 0 when all went well. Otherwise it serves until Ctrl-C.
 */
import { randomUUID } from "node:crypto";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { parseArgs } from "node:util";
import chalk from "chalk";
import { send } from "./client.mjs";
import { startRelay } from "./relay.mjs";

const { values: options } = parseArgs({ options: { once: { type: "boolean", default: false } } });
const say = (/** @type {string} */ text = "") => process.stdout.write(`${text}\n`);
const done = (/** @type {string} */ what) => say(`  ${chalk.green("✔")} ${what}`);
// Without a bar: people copy these lines.
const plain = (/** @type {string} */ text) => text.replace(/^/gm, "    ");
const bar = (/** @type {string} */ text) => text.replace(/^/gm, `    ${chalk.dim("│")} `);

/**
 * @param {readonly import("./client.mjs").Step[]} steps
 */
function showDialogue(steps) {
  for (const { direction, line, time } of steps) {
    const arrow = direction === "sent" ? chalk.cyan("→") : chalk.yellow("←");
    say(`    ${chalk.dim(`${time.toFixed(1).padStart(7)} ms`)}  ${arrow} ${line}`);
  }
}

/**
 * @param {string} title
 * @param {number} port
 * @param {boolean} tls
 */
async function relayOne(title, port, tls) {
  say(`\n${chalk.bold(title)}\n`);
  const token = randomUUID();
  const message = [
    "From: User One <user1@example.org>",
    "To: Somebody <somebody@example.net>",
    `Subject: ${title}`,
    `X-Demo-Token: ${token}`,
    "",
    "Hello from the demo.",
  ].join("\r\n");
  const ca = await readFile(relay.certificate, "utf8");
  const { login, password } = relay;
  const started = performance.now();
  const steps = await send({
    port,
    tls,
    ca,
    login,
    password,
    from: "user1@example.org",
    to: "somebody@example.net",
    message,
  });
  const accepted = performance.now();
  showDialogue(steps);
  const id = steps
    .map(({ line }) => /queued as ([0-9A-F]{10,12})/.exec(line)?.[1])
    .find((found) => found !== undefined);
  if (id === undefined) throw new Error("no queue ID in the reply to the message");
  await relay.logged(new RegExp(`${id}: removed`));
  const delivered = performance.now();
  const name = (await readdir(relay.delivered)).find(
    (found) => found.startsWith(id) && found.endsWith(".eml"),
  );
  const stored = name === undefined ? "" : await readFile(join(relay.delivered, name), "utf8");
  if (!stored.endsWith(message) && !stored.includes(message))
    throw new Error(`message ${id} is not what was sent`);
  say();
  done(`accepted as ${chalk.bold(id)} in ${(accepted - started).toFixed(0)} ms, login and all`);
  done(
    `delivered ${(delivered - accepted).toFixed(0)} ms later, byte for byte below the header lines that were added`,
  );
  return { id, stored };
}

function showHandUse() {
  const { submission, submissions, certificate, password } = relay;
  say(`\n${chalk.bold("Try it yourself")}, while this keeps running:\n`);
  say(
    plain(
      [
        chalk.dim("# swaks"),
        `swaks -f user1@example.org -t x@example.net -s 127.0.0.1 -p ${submission} -tls -au user1 -ap ${password}`,
        `swaks -f user1@example.org -t x@example.net -s 127.0.0.1 -p ${submissions} -tlsc -au user1 -ap ${password}`,
        "",
        chalk.dim("# msmtp"),
        `printf 'Subject: hello\\n\\nfrom msmtp\\n' | msmtp --host=localhost --port=${submission} --auth=on --user=user1 \\`,
        `  --passwordeval='cat ${relay.folder}/password' --tls=on --tls-trust-file=${certificate} -f user1@example.org x@example.net`,
        "",
        chalk.dim("# Thunderbird: Settings, Outgoing Server (SMTP), Add"),
        `Server: localhost   Port: ${submissions}   Security: SSL/TLS   Method: Normal password   User: user1`,
        `Password: ${password}   (accept the self-signed certificate once)`,
        "",
        chalk.dim("# what was delivered, and the configuration"),
        `ls ${relay.delivered}`,
        `cat ${relay.config}`,
      ].join("\n"),
    ),
  );
  say(`\n  Serving until Ctrl-C; the folder ${relay.folder} is removed then.\n`);
}

const relay = await startRelay();
const interrupted = new Promise((resolve) => {
  process.once("SIGINT", resolve);
  process.once("SIGTERM", resolve);
});
try {
  done(
    `throwaway relay in ${relay.folder}: certificate, configuration, ${chalk.bold("user1")} with a random password`,
  );
  done(`serving on 127.0.0.1:${relay.submission} (STARTTLS) and 127.0.0.1:${relay.submissions} (TLS)`);
  await relayOne("A message through the door with STARTTLS (587 on a real host)", relay.submission, false);
  const { id, stored } = await relayOne("A message through the door with TLS (465)", relay.submissions, true);
  say(`\n${chalk.bold("What was delivered")} (the second; note what its first field does not tell)\n`);
  say(bar(stored.trimEnd().replaceAll("\r\n", "\n")));
  say(`\n${chalk.bold("What the mail log says about it")}\n`);
  const lines = relay.log().split("\n");
  say(bar(lines.filter((line) => line.includes(id)).join("\n")));
  if (!options.once) {
    showHandUse();
    await interrupted;
  }
} catch (error) {
  say(`\n  ${chalk.red("✘")} ${error instanceof Error ? error.message : String(error)}`);
  say(`\n${chalk.bold("The mail log")}\n\n${bar(relay.log())}`);
  process.exitCode = 1;
} finally {
  await relay.stop();
}
if (options.once && process.exitCode === undefined) say(`\n  ${chalk.green("✔")} All went well.\n`);
