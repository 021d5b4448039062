/** What was found, kept: a file of JSON for each case, and the pages in docs/ that show it. */
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { circumstances, figureTable, growthText, hostTable, loadTable, scaleTable } from "./table.mjs";

/** @typedef {import("./table.mjs").Found} Found */

const folder = join(import.meta.dirname, "results");
const docs = join(import.meta.dirname, "../docs");

/** @param {Found} found */
export function save(found) {
  mkdirSync(folder, { recursive: true });
  writeFileSync(join(folder, `${found.name}.json`), `${JSON.stringify(found, null, 2)}\n`);
}

/** @returns {readonly Found[]} all that was kept, in the order of `names` */
function saved(/** @type {readonly string[]} */ names) {
  const files = (existsSync(folder) ? readdirSync(folder) : []).filter((name) => name.endsWith(".json"));
  /** @type {Found[]} */
  const found = files.map((name) => JSON.parse(readFileSync(join(folder, name), "utf8")));
  return found.toSorted((one, other) => names.indexOf(one.name) - names.indexOf(other.name));
}

/**
 * Fills the pages.
 * @param {readonly string[]} names of the cases, in their order
 */
export function fillPages(names) {
  const all = saved(names);
  const figures = all.filter(({ figures: those }) => those !== undefined);
  const of = (/** @type {string} */ wanted) => {
    const scale = all.filter(({ name, series }) => name === wanted && series !== undefined);
    return { scale, series: scale.flatMap(({ series: those = [] }) => those) };
  };
  const { scale, series } = of("scale");
  const shared = of("several-hosts-scale");
  const none = "Not measured yet.";
  const filled = (/** @type {readonly Found[]} */ from, /** @type {string} */ text) =>
    from.length > 0 ? text : none;
  fillPage("performance.md", {
    circumstances: filled(figures, figures.length > 0 ? circumstances(figures) : ""),
    figures: filled(figures, figureTable(figures)),
    load: filled(figures, loadTable(figures)),
  });
  fillPage("scale.md", {
    circumstances: filled(scale, scale.length > 0 ? circumstances(scale) : ""),
    scale: filled(scale, scaleTable(series)),
    host: filled(scale, scale.length > 0 ? hostTable(series) : ""),
  });
  fillPage("several-hosts.md", {
    circumstances: filled(shared.scale, shared.scale.length > 0 ? circumstances(shared.scale) : ""),
    scale: filled(shared.scale, scaleTable(shared.series)),
    growth: filled(shared.scale, shared.scale.length > 0 ? growthText(shared.series) : ""),
  });
}

/**
 * Puts each text between the markers of its name: `<!-- bench:NAME -->` and `<!-- bench:end -->`.
 * @param {string} page
 * @param {Readonly<Record<string, string>>} texts
 */
function fillPage(page, texts) {
  const path = join(docs, page);
  let content = readFileSync(path, "utf8");
  for (const [name, text] of Object.entries(texts)) {
    const place = new RegExp(`(<!-- bench:${name} -->\n)[^]*?(\n<!-- bench:end -->)`);
    if (!place.test(content)) throw new Error(`${path} has no place for ${name}`);
    content = content.replace(place, (_, begin, end) => `${begin}${text}${end}`);
  }
  writeFileSync(path, content);
}
