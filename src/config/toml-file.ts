/**
 * Reads a TOML file by rows such as those of settings.ts, and tells every mistake at once, one line each:
 * `FILE:LINE: KEY: expected …, found …`.
 */
import { readFile } from "node:fs/promises";
import { parse, TomlError } from "smol-toml";
import { errorCode, errorText, exitStatus, Failure, nearest } from "../failure.ts";
import { findLines, type KeyPath, type LineOf } from "./positions.ts";
import { type Check, isSetting, isTables, type SettingRow, type SettingRows } from "./schema.ts";
import type { SettingType } from "./setting-types.ts";

/** What a file of one kind may say. */
export interface FileSchema<Config> extends KnownSettings {
  /** What no row can tell alone. */
  readonly checks: (config: Config) => readonly Check<Config>[];
  /** What to do where there is no such file. */
  readonly whenMissing: string;
  /** Advice on a line whose key or table was there before; undefined where there is none. */
  readonly whenRepeated?: (line: string) => string | undefined;
}

/** What a file says, or all that is wrong with it, by line. */
export type ParseResult<Config> = { readonly config: Config } | { readonly mistakes: readonly string[] };

/**
 * What the file `path` says. Throws a Failure with status 66 where it cannot be read and 78 where it is wrong; the
 * message then has a line for each mistake.
 */
export async function readTomlFile<Config>(path: string, form: FileSchema<Config>): Promise<Config> {
  const reading = parseTomlFile(await contentOf(path, form.whenMissing), path, form);
  if ("config" in reading) return reading.config;
  throw new Failure(exitStatus.config, reading.mistakes.join("\n"));
}

/** What `source` says; `file` is its name in the mistakes. */
export function parseTomlFile<Config>(
  source: string,
  file: string,
  form: FileSchema<Config>,
): ParseResult<Config> {
  let table: TomlTable;
  try {
    table = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    return { mistakes: [`${file}:${error.line}: ${syntaxMistake(error, source, form)}`] };
  }
  const mistakes: Mistake[] = [];
  const note: Note = (path, what) => void mistakes.push({ path, what });
  const config = readTable(form.rows, table, [], form, note) as Config;
  const wrong = mistakes.map(({ path }) => path);
  for (const { settings: concerned, mistake } of form.checks(config)) {
    const paths = concerned.map(pathOf);
    if (paths.some((path) => wrong.some((other) => isWithin(path, other) || isWithin(other, path)))) continue;
    const what = mistake(config);
    if (what !== undefined) mistakes.push({ path: pathOf(concerned[0]), what });
  }
  return mistakes.length === 0 ? { config } : { mistakes: linesFor(mistakes, file, findLines(source)) };
}

/** One thing that is wrong, and the key that has it. */
interface Mistake {
  readonly path: KeyPath;
  /** What stands behind FILE:LINE: KEY. */
  readonly what: string;
}

/** `route.0.relay` is the setting `relay` of the first [[route]]. */
const pathOf = (name: string): KeyPath =>
  name.split(".").map((part) => (/^\d+$/.test(part) ? Number(part) : part));

const isWithin = (path: KeyPath, outer: KeyPath): boolean => outer.every((part, at) => path[at] === part);

const keyOf = (path: KeyPath): string => path.filter((part) => typeof part === "string").join(".");

/** By line; what is not in the file has the line of its table, or the first. */
function linesFor(mistakes: readonly Mistake[], file: string, lineOf: LineOf): readonly string[] {
  return mistakes
    .map(({ path, what }) => ({
      line: path.map((_, index) => lineOf(path.slice(0, path.length - index))).find(isNumber) ?? 1,
      text: `${quotedKey(keyOf(path))}: ${what}`,
    }))
    .sort((one, other) => one.line - other.line)
    .map(({ line, text }) => `${file}:${line}: ${text}`);
}

const isNumber = (line: number | undefined): line is number => line !== undefined;

async function contentOf(path: string, whenMissing: string): Promise<string> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    const why = errorCode(error) === "ENOENT" ? `there is no such file; ${whenMissing}` : errorText(error);
    throw new Failure(exitStatus.noInput, `${path}: ${why}`, { cause: error });
  }
}

type Note = (path: KeyPath, what: string) => void;

/** The values of one table, its defaults filled in. A wrong value is noted, and stands as undefined. */
function readTable(
  rows: SettingRows,
  table: TomlTable,
  path: KeyPath,
  known: KnownSettings,
  note: Note,
): unknown {
  for (const key of Object.keys(table)) {
    if (!Object.hasOwn(rows, key))
      note([...path, key], explainUnknown(key, table[key], { rows, path, known }));
  }
  const values = Object.entries(rows).map(([key, row]) => {
    const found = Object.hasOwn(table, key) ? table[key] : undefined;
    const here = [...path, key];
    if (isSetting(row)) return [key, readSetting(row, found, here, note)];
    if (isTables(row)) return [key, readTables(row.each, found, here, known, note)];
    if (found === undefined || isTable(found)) return [key, readTable(row, found ?? {}, here, known, note)];
    note(here, `expected a table [${here.join(".")}], found ${quotedValue(found)}`);
    return [key, undefined];
  });
  return Object.fromEntries(values);
}

/** Each `[[name]]` in order. */
function readTables(
  rows: SettingRows,
  found: unknown,
  path: KeyPath,
  known: KnownSettings,
  note: Note,
): readonly unknown[] {
  if (found === undefined) return [];
  if (Array.isArray(found) && found.every(isTable)) {
    return found.map((table, index) => readTable(rows, table, [...path, index], known, note));
  }
  const name = path.join(".");
  note(path, `expected tables, each headed [[${name}]], found ${quotedValue(found)}`);
  return [];
}

function readSetting(
  { type: kind, default: standard }: SettingRow<unknown>,
  found: unknown,
  path: KeyPath,
  note: Note,
): unknown {
  const value = kind.read(found ?? standard);
  if (value === undefined) noteWrong(kind, found, path, note);
  return value;
}

/** Notes what is wrong with a value: of a list each element that is. */
function noteWrong(kind: SettingType<unknown>, found: unknown, path: KeyPath, note: Note): void {
  const { each } = kind;
  if (each === undefined || !Array.isArray(found)) {
    note(path, `expected ${kind.expected}, found ${found === undefined ? "nothing" : quotedValue(found)}`);
    return;
  }
  for (const [index, element] of found.entries()) {
    if (each.read(element) === undefined) noteWrong(each, element, [...path, index], note);
  }
}

/** The parser's words, without its drawing, and with advice on what people get wrong most. */
function syntaxMistake(
  { message, line, column }: TomlError,
  text: string,
  { whenRepeated }: Pick<FileSchema<unknown>, "whenRepeated">,
): string {
  const reason = (message.split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
  const written = text.split("\n")[line - 1] ?? "";
  if (reason.startsWith("trying to redefine")) {
    const advice = whenRepeated?.(written);
    return `expected each key and table once, found one again${advice === undefined ? "" : `; ${advice}`}`;
  }
  if (isUnclosed(reason, written.slice(column - 1)))
    return "expected a quote at the end of the text that begins here, found none";
  const advice = reason === "invalid value" ? ' (a text stands in quotes: "example")' : "";
  return `expected TOML, found something else: ${reason}${advice}`;
}

/** Whether a text ran into the end of its line, or of the file: to the parser that end is a control character. */
const isUnclosed = (reason: string, rest: string | undefined): boolean =>
  reason === "unfinished string" ||
  (reason.startsWith("control characters are not allowed") && (rest === "" || rest === "\r"));

// How a mistake in a configuration file is put: what stands there, and what was probably meant.

/** A TOML table as it was parsed. */
export type TomlTable = Readonly<Record<string, unknown>>;

export const isTable = (value: unknown): value is TomlTable =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Date);

/** All that a file may say, and the manual that tells about it. */
export interface KnownSettings {
  readonly rows: SettingRows;
  readonly manual: string;
}

/** What to say about a key that is in none of `rows`, the table's own: where it belongs, or which was probably meant. */
export function explainUnknown(
  key: string,
  found: unknown,
  {
    rows,
    path,
    known,
  }: { readonly rows: SettingRows; readonly path: KeyPath; readonly known: KnownSettings },
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
const header = (name: string, row: SettingRows[string]): string =>
  isTables(row) ? `[[${name}]]` : `[${name}]`;

/** The table that has a setting of this name, "" for the top of the file. */
function homeOf(key: string, all: SettingRows): string | undefined {
  const homes: readonly (readonly [string, SettingRows])[] = [
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
export function quotedValue(value: unknown): string {
  if (Array.isArray(value)) return "a list";
  if (value instanceof Date) return "a date";
  if (typeof value === "object") return "a table";
  if (typeof value !== "string") return String(value as number | boolean | bigint);
  const text = value.replace(/\/\/[^/]*@/, "//…@");
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}…` : text);
}

/** A key as it may be shown: it comes from the file and may be quoted there with anything in it. */
export function quotedKey(key: string): string {
  return /[^\w.-]/.test(key) ? JSON.stringify(key) : key;
}
