/** What the package takes from the project's own files: version, dates, formats. */
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** The project's folder. */
export const root = fileURLToPath(new URL("..", import.meta.url));

/** @param {string} path relative to the project's folder */
export const readText = (path) => readFileSync(join(root, path), "utf8");

/** @type {{ version: string }} */
export const { version } = JSON.parse(readText("package.json"));

/** Releases in CHANGELOG.md, newest first. */
export const releases = [
  ...readText("CHANGELOG.md").matchAll(/^## (\d+\.\d+\.\d+) - (\d{4}-\d\d-\d\d)$/gm),
].map(([, number = "", date = ""]) => ({ version: number, seconds: Date.parse(`${date}T00:00:00Z`) / 1000 }));

/** Seconds since the epoch that every file of the package gets: SOURCE_DATE_EPOCH, else the date of the release. */
export function sourceDate() {
  const given = process.env["SOURCE_DATE_EPOCH"];
  if (given === undefined) return releases[0]?.seconds ?? 0;
  if (!/^\d+$/.test(given))
    throw new Error(`SOURCE_DATE_EPOCH: expected seconds since 1970, found "${given}"`);
  return Number(given);
}

/** The highest format of a spool that this version reads. */
export function spoolFormat() {
  const known = [...readText("src/server/spool/open.ts").matchAll(/"tpa-submit spool (\d+)"/g)];
  return Math.max(...known.map(([, number]) => Number(number)));
}
