/** `npm run bench`: the figures, beside Postfix and Dovecot and beside another checkout. README.md tells how. */
import { execFileSync } from "node:child_process";
import { existsSync } from "node:fs";
import { availableParallelism, cpus, loadavg, tmpdir, totalmem } from "node:os";
import { join, resolve } from "node:path";
import { parseArgs } from "node:util";
import { scale } from "./cases/scale.mjs";
import { severalHostsScale } from "./cases/several-hosts-scale.mjs";
import { cases } from "./cases.mjs";
import { fillPages, save } from "./results.mjs";
import { commitOf, here, missingForPostfix, postfix, tpaSubmit } from "./sides.mjs";
import { circumstances, figureTable, growthText, hostTable, loadTable, scaleTable } from "./table.mjs";
import { openWorkspace } from "./workspace.mjs";

/** @typedef {import("./table.mjs").Found} Found */

/** Those that tell how something grows. They run where they are named. */
const scales = [
  {
    name: "scale",
    title: "cost against users, messages, queued messages, connections and destinations",
    measure: scale,
    about: hostTable,
  },
  {
    name: "several-hosts-scale",
    title: "cost of a shared database against messages, queued messages, logins and hosts",
    measure: severalHostsScale,
    about: growthText,
  },
];

const usage = `Usage: npm run bench -- [OPTION…] [CASE…]

  --quick            a few seconds for each case: whether it works, not what it measures
  --against DIR      another built checkout beside this one
  --without-postfix  neither Postfix nor Dovecot
  --repeats N        3 where nothing is said
  --on DIR           on the disk of DIR, else of the temporary folder
  --save             keep the figures in bench/results/, and fill docs/performance.md, scale.md and several-hosts.md with them
  --pages            measure nothing, fill the pages with what is kept
  --json             print JSON, not tables

Cases, all but those in brackets where none is named:
${cases.map(({ name, title, asked }) => `  ${(asked ? `(${name})` : name).padEnd(21)} ${title}`).join("\n")}
${scales.map(({ name, title }) => `  ${`(${name})`.padEnd(21)} ${title}`).join("\n")}`;

const names = [...cases, ...scales].map(({ name }) => name);

/** @param {string} problem */
function refuse(problem) {
  process.stderr.write(`bench: ${problem}\n`);
  process.exit(64);
}

function options() {
  try {
    const { values, positionals } = parseArgs({
      allowPositionals: true,
      options: {
        quick: { type: "boolean", default: false },
        against: { type: "string" },
        "without-postfix": { type: "boolean", default: false },
        repeats: { type: "string", default: "3" },
        on: { type: "string", default: tmpdir() },
        save: { type: "boolean", default: false },
        pages: { type: "boolean", default: false },
        json: { type: "boolean", default: false },
        help: { type: "boolean", default: false },
      },
    });
    return { ...values, chosen: positionals };
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

const chosen = options();
if (chosen === undefined) process.exit();
const unknown = chosen.chosen.find((name) => !names.includes(name));
if (chosen.help) {
  process.stdout.write(`${usage}\n`);
  process.exit();
}
if (unknown !== undefined) refuse(`no case is called "${unknown}"; there are ${names.join(", ")}`);
if (chosen.quick && chosen.save) refuse("the figures of --quick are not worth keeping");
const repeats = Number(chosen.repeats);
if (!(Number.isInteger(repeats) && repeats > 0)) refuse("--repeats wants a number");
if (chosen.pages) {
  fillPages(names);
  process.exit();
}

const sides = [tpaSubmit("ours", `tpa-submit ${commitOf(here)}`.trim(), here)];
if (chosen.against !== undefined) {
  const other = resolve(chosen.against);
  if (!existsSync(join(other, "dist/main.js"))) refuse(`${other} has no dist/: build it first`);
  sides.push(tpaSubmit("before", `before ${commitOf(other)}`.trim(), other));
}
const missing = missingForPostfix();
const hasPostfix = missing.length === 0;
const note = (/** @type {string} */ text) => process.stderr.write(`${text}\n`);
if (!hasPostfix) note(`*** without Postfix and Dovecot, missing: ${missing.join(", ")} ***`);
else if (!chosen["without-postfix"]) sides.push(postfix);

/** @type {(program: string, ...words: readonly string[]) => string} */
const said = (program, ...words) => {
  const env = { ...process.env, PATH: `${process.env["PATH"]}:/usr/sbin` };
  return execFileSync(program, words, { env, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
};
const disk = said("df", "--output=fstype", chosen.on).split("\n").at(-1);
const machine = `Node ${process.versions.node}, ${availableParallelism()} cores (${cpus()[0]?.model.trim()}), ${Math.round(totalmem() / 2 ** 30)} GiB, ${disk}`;
const versionOf = (/** @type {import("./sides.mjs").Side} */ { key, name }) =>
  key === "postfix"
    ? `Postfix ${said("postconf", "-d", "-h", "mail_version")} and Dovecot ${said("dovecot", "--version").split(" ")[0]}`
    : name;
const versions = Object.fromEntries(sides.map((side) => [side.key, versionOf(side)]));

/** @type {Promise<never> | undefined} */
let ending;

const workspace = await openWorkspace(resolve(chosen.on));
for (const [signal, status] of /** @type {const} */ ([
  ["SIGINT", 130],
  ["SIGTERM", 143],
  ["SIGHUP", 129],
])) {
  process.once(signal, () => {
    note("bench: ending what was started");
    ending ??= workspace.close().then(() => process.exit(status));
  });
}

const bench = {
  workspace,
  sides,
  hasPostfix,
  quick: chosen.quick,
  repeats: chosen.quick ? 1 : repeats,
  note: (/** @type {string} */ text) => note(`    ${text}`),
};

/**
 * @param {string} name
 * @param {string} title
 * @param {() => Promise<Pick<Found, "figures" | "series">>} measure
 * @returns {Promise<Found | undefined>} nothing where it failed
 */
async function found(name, title, measure) {
  note(`${name}: ${title}`);
  const [at, begun] = [new Date().toISOString(), performance.now()];
  const load = loadavg()[0] ?? 0;
  try {
    const figures = await measure();
    const seconds = (performance.now() - begun) / 1_000;
    const run = { at, seconds, quick: chosen?.quick ?? false, load, machine, sides: versions };
    const result = { name, title, run, ...figures };
    if (chosen?.save) save(result);
    return result;
  } catch (error) {
    await ending; // then this is why
    note(`bench: ${name} failed: ${error instanceof Error ? error.stack : String(error)}`);
    process.exitCode = 1;
    return undefined;
  }
}

/** @type {Found[]} */
const all = [];
try {
  const wanted = cases.filter(({ name, asked }) =>
    chosen.chosen.length === 0 ? !asked : chosen.chosen.includes(name),
  );
  for (const { name, title, run } of wanted) {
    const result = await found(name, title, async () => ({ figures: await run(bench) }));
    if (result) all.push(result);
  }
  for (const { name, title, measure } of scales.filter((one) => chosen.chosen.includes(one.name))) {
    const result = await found(name, title, async () => ({ series: await measure(bench) }));
    if (result) all.push(result);
  }
} finally {
  await (ending ?? workspace.close());
}

if (chosen.json) process.stdout.write(`${JSON.stringify(all, null, 2)}\n`);
else {
  const figures = all.filter((one) => one.figures !== undefined);
  if (all.length > 0) process.stdout.write(`${circumstances(all)}\n`);
  if (figures.length > 0) process.stdout.write(`\n${figureTable(figures)}\n\n${loadTable(figures)}\n`);
  for (const { name, series } of all) {
    const about = scales.find((one) => one.name === name)?.about;
    if (series && about) process.stdout.write(`\n${scaleTable(series)}\n\n${about(series)}\n`);
  }
}
if (chosen.save) fillPages(names);
process.exit(); // what the servers left open is no reason to stay
