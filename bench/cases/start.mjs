/** How long each command takes from its start to its end, beside Node itself and the programs that do the same. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { run as runProgram } from "../../test/tools/child.mjs";
import { programs } from "../bench.mjs";
import { startSink } from "../hops.mjs";

/** @typedef {import("../bench.mjs").Bench} Bench */
/** @typedef {import("../bench.mjs").Case} Case */
/** @typedef {import("../bench.mjs").Figure} Figure */
/** @typedef {import("../bench.mjs").Key} Key */

/**
 * Milliseconds.
 * @param {readonly string[]} words
 */
async function took([program = "", ...words]) {
  const begun = performance.now();
  const child = spawn(program, words, { stdio: "ignore" });
  const [status] = await once(child, "close");
  if (status !== 0) throw new Error(`${program} ${words.join(" ")} ended with status ${status}`);
  return performance.now() - begun;
}

/** @param {string} program */
const isThere = (program) =>
  runProgram(program, ["--version"]).then(
    () => true,
    () => false,
  );

/** @type {Case} */
export const startCase = {
  name: "start",
  title: "the start of each command",
  async run(bench) {
    const runs = bench.quick ? 1 : 9;
    const sink = await startSink(bench.workspace, bench.hasPostfix);
    const message = [
      "--to",
      "x@example.net",
      "--from",
      "user1@example.org",
      "--server",
      `127.0.0.1:${sink.port}`,
    ];
    /** Ours, and what stands beside it in the column of Postfix and Dovecot. @type {readonly (readonly [string, readonly string[], (readonly string[])?])[]} */
    const commands = [
      ["version", ["--version"], [process.execPath, "-e", "0"]],
      ["help", ["--help"]],
      ["queue-help", ["queue", "--help"]],
      ["probe-help", ["probe", "--help"], ["swaks", "--help"]],
      ["probe", ["probe", ...message], ["swaks", ...message]],
      [
        "passwd",
        ["passwd", "-s", "SHA512-CRYPT", "-p", "x"],
        ["doveadm", "pw", "-s", "SHA512-CRYPT", "-p", "x"],
      ],
      [
        "passwd-bcrypt",
        ["passwd", "-s", "BLF-CRYPT", "-p", "x"],
        ["doveadm", "pw", "-s", "BLF-CRYPT", "-p", "x"],
      ],
    ];
    /** @type {{ id: string, text: string, key: Key, words: readonly string[], values: number[] }[]} */
    const measured = [];
    for (const [id, words, other] of commands) {
      const shown = words
        .filter((word) => !/^(?:-p|x)$/.test(word))
        .slice(0, id === "probe" ? 1 : 4)
        .join(" ");
      const beside = other && (await isThere(other[0] ?? "")) ? other : undefined;
      const otherName = (other ?? [])
        .slice(0, id === "probe" ? 1 : 2)
        .join(" ")
        .replace(process.execPath, "node")
        .replace("-e", "-e 0");
      const text = `${id === "probe" ? "probe of one message" : shown}${beside ? ` beside ${otherName}` : ""}`;
      for (const { key, checkout } of programs(bench)) {
        measured.push({
          id,
          text,
          key,
          words: [process.execPath, join(checkout, "bin/tpa-submit"), ...words],
          values: [],
        });
      }
      if (beside) measured.push({ id, text, key: "postfix", words: beside, values: [] });
    }
    for (let turn = 0; turn < runs; turn += 1) {
      bench.note(`${turn + 1} of ${runs}`);
      for (const { words, values } of measured) values.push(await took(words));
    }
    await sink.stop();
    return commands.map(([id]) => {
      const those = measured.filter((one) => one.id === id);
      /** @type {Figure} */
      const figure = {
        id: `start-${id}.time`,
        text: those[0]?.text ?? id,
        unit: "ms",
        values: Object.fromEntries(those.map(({ key, values }) => [key, values])),
      };
      return figure;
    });
  },
};
