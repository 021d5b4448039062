/** Compares what a case of swaks' regression suite left behind with its references, in levels (swaks-suite.mjs). */
import { readFile } from "node:fs/promises";
import { join } from "node:path";

/** Lines that went over the wire, as the transcript marks them. */
const wire = /^(?: -> | ~> |\*\*> |\*~> |<- {2}|<~ {2}|<\*\* |<~\* )/;

/**
 * What is compared, from mild to strict. Each gets the files' texts by their ends: "exits", "stdout", "stderr" and others.
 * @type {Readonly<Record<string, (files: Files) => string>>}
 */
export const levels = {
  exit: statuses,
  wire: (files) =>
    [statuses(files), ...[files.stdout, files.stderr].map((text = "") => only(wire, text))].join("\0"),
  error: (files) => [statuses(files), files.stderr ?? ""].join("\0"),
  stdout: (files) => [statuses(files), files.stdout ?? ""].join("\0"),
  all: (files) => JSON.stringify(Object.entries({ ...files, exits: statuses(files) }).sort(byName)),
};

/** @type {(one: [string, unknown], other: [string, unknown]) => number} */
const byName = ([one], [other]) => (one < other ? -1 : 1);

/** @type {(files: Files) => string} */
function statuses({ exits = "" }) {
  return exits.replace(/^(\S+\s+\d+).*$/gm, "$1");
}

/** @typedef {Readonly<Partial<Record<string, string>>>} Files */

/** @type {(pattern: RegExp, text: string) => string} */
const only = (pattern, text) =>
  text
    .split("\n")
    .filter((line) => pattern.test(line))
    .join("\n");

/**
 * @typedef {object} Verdict
 * @property {string} id
 * @property {ReadonlySet<string>} agrees levels
 */

/**
 * Undefined for a case that the suite skips.
 * @param {string} suite folder
 * @param {string} id
 * @returns {Promise<Verdict | undefined>}
 */
export async function grade(suite, id) {
  const test = await readFile(join(suite, `${id}.test`), "utf8");
  if (/^skip: (?!IFOS=)/m.test(test)) return undefined;
  const given = await filesOf(join(suite, "out-dyn"), id);
  // Some cases compare two runs with each other.
  const second = await filesOf(join(suite, "out-dyn"), id, ".2");
  const expected = { ...(await filesOf(join(suite, "out-ref"), id)), ...second };
  const compared = Object.fromEntries(Object.keys(expected).map((name) => [name, given[name] ?? ""]));
  const agrees = Object.entries(levels).filter(([, read]) => read(expected) === read(compared));
  return { id, agrees: new Set(agrees.map(([name]) => name)) };
}

/**
 * The files of a case by their ends; those for another system than Linux left out.
 * @param {string} place
 * @param {string} id
 * @param {string} [which] ".2": what a second command in the case printed
 * @returns {Promise<Files>}
 */
async function filesOf(place, id, which = "") {
  /** @type {Record<string, string>} */
  const files = {};
  for (const end of ["exits", "stdout", "stderr", "out", "fileout", "cert", "chain"]) {
    const text = await readFile(join(place, `${id}.${end}${which}`), "latin1").catch(() => undefined);
    // The runner knows the program by its path and by "v" in front of its version; --dump says the name, a token the number.
    const called = text?.replaceAll("= tpa-submit probe ", "= %SWAKS_COMMAND% ");
    if (called !== undefined) files[end] = called.replace(/(?<=swaks_version - )[\w.]+/g, "VERSION");
  }
  return files;
}
