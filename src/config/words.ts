/**
 * How a mistake in a configuration file is put: what stands there, and what was probably meant.
 */
import { nearest } from "../failure.ts";
import type { KeyPath } from "./lines.ts";
import { isSetting, isTables, type Rows } from "./rows.ts";

/** A TOML table as it was parsed. */
export type Table = Readonly<Record<string, unknown>>;

export const isTable = (value: unknown): value is Table =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** All that a file may say, and the manual that tells about it. */
export interface Known {
  readonly rows: Rows;
  readonly manual: string;
}

/** What to say about a key that is in none of `rows`, the table's own: where it belongs, or which was probably meant. */
export function explainUnknown(
  key: string,
  found: unknown,
  { rows, path, known }: { readonly rows: Rows; readonly path: KeyPath; readonly known: Known },
): string {
  const isRoot = path.length === 0;
  const headed = isTable(found) || isListOfTables(found);
  const elsewhere = headed ? undefined : homeOf(key, known.rows);
  if (elsewhere !== undefined) {
    return elsewhere === ""
      ? "not a setting of this table; it belongs at the top of the file, above the first [table]"
      : `not a setting ${isRoot ? "outside a table" : "of this table"}; it belongs in ${elsewhere}`;
  }
  const kin = Object.keys(rows).filter((name) => headed !== isSetting(rows[name] ?? {}));
  const meant = nearest(key, kin);
  const what = headed ? "no such table" : "no such setting";
  if (meant === undefined) return `${what}; ${known.manual} lists them all`;
  return headed
    ? `${what}; did you mean ${header(meant, rows[meant] ?? {})}?`
    : `${what}; did you mean "${meant}"?`;
}

const isListOfTables = (found: unknown): boolean =>
  Array.isArray(found) && found.length > 0 && found.every(isTable);

/** As it stands in the file above its settings. */
const header = (name: string, row: Rows[string]): string => (isTables(row) ? `[[${name}]]` : `[${name}]`);

/** The table that has a setting of this name, "" for the top of the file. */
function homeOf(key: string, all: Rows): string | undefined {
  const homes: readonly (readonly [string, Rows])[] = [
    ["", all],
    ...Object.entries(all).flatMap(([name, row]) =>
      isSetting(row) ? [] : [[header(name, row), isTables(row) ? row.each : row] as const],
    ),
  ];
  const home = homes.find(([, rows]) => {
    const row = Object.hasOwn(rows, key) ? rows[key] : undefined;
    return row !== undefined && isSetting(row);
  });
  return home?.[0];
}

/** A value as it may be shown: in one line, not endless, and without what could be a password in an address. */
export function shown(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "a table";
  if (typeof value !== "string") return String(value as number | boolean | bigint);
  const text = value.replace(/\/\/[^/]*@/, "//…@");
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** A key as it may be shown: it comes from the file and may be quoted there with anything in it. */
export function printable(key: string): string {
  return /[^\w.-]/.test(key) ? JSON.stringify(key) : key;
}
