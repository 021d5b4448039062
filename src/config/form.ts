/**
 * Reads a TOML file by rows such as those of settings.ts, and tells every mistake at once, one line each:
 * `FILE:LINE: KEY: expected …, found …`.
 */
import { readFile } from "node:fs/promises";
import { parse, TomlError } from "smol-toml";
import { errorCode, errorText, exitStatus, Failure } from "../failure.ts";
import type { Check } from "./checks.ts";
import type { Kind } from "./kinds.ts";
import { findLines, type KeyPath, type LineOf } from "./lines.ts";
import { isSetting, isTables, type Rows, type Setting } from "./rows.ts";
import { explainUnknown, isTable, type Known, printable, shown, type Table } from "./words.ts";

/** What a file of one kind may say. */
export interface Form<Config> extends Known {
  /** What no row can tell alone. */
  readonly checks: (config: Config) => readonly Check<Config>[];
  /** What to do where there is no such file. */
  readonly whenMissing: string;
}

/** What a file says, or all that is wrong with it, by line. */
export type Reading<Config> = { readonly config: Config } | { readonly mistakes: readonly string[] };

/**
 * What the file `path` says. Throws a Failure with status 66 where it cannot be read and 78 where it is wrong; the
 * message then has a line for each mistake.
 */
export async function readForm<Config>(path: string, form: Form<Config>): Promise<Config> {
  const reading = parseForm(await contentOf(path, form.whenMissing), path, form);
  if ("config" in reading) return reading.config;
  throw new Failure(exitStatus.config, reading.mistakes.join("\n"));
}

/** What `source` says; `file` is its name in the mistakes. */
export function parseForm<Config>(source: string, file: string, form: Form<Config>): Reading<Config> {
  let table: Table;
  try {
    table = parse(source);
  } catch (error) {
    if (!(error instanceof TomlError)) throw error;
    return { mistakes: [`${file}:${error.line}: ${syntaxMistake(error, source)}`] };
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
      text: `${printable(keyOf(path))}: ${what}`,
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
function readTable(rows: Rows, table: Table, path: KeyPath, known: Known, note: Note): unknown {
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
    note(here, `expected a table [${here.join(".")}], found ${shown(found)}`);
    return [key, undefined];
  });
  return Object.fromEntries(values);
}

/** Each `[[name]]` in order. */
function readTables(rows: Rows, found: unknown, path: KeyPath, known: Known, note: Note): readonly unknown[] {
  if (found === undefined) return [];
  if (Array.isArray(found) && found.every(isTable)) {
    return found.map((table, index) => readTable(rows, table, [...path, index], known, note));
  }
  const name = path.join(".");
  note(path, `expected tables, each headed [[${name}]], found ${shown(found)}`);
  return [];
}

function readSetting(
  { kind, standard }: Setting<unknown>,
  found: unknown,
  path: KeyPath,
  note: Note,
): unknown {
  const value = kind.read(found ?? standard);
  if (value === undefined) noteWrong(kind, found, path, note);
  return value;
}

/** Notes what is wrong with a value: of a list each element that is. */
function noteWrong(kind: Kind<unknown>, found: unknown, path: KeyPath, note: Note): void {
  const { each } = kind;
  if (each === undefined || !Array.isArray(found)) {
    note(path, `expected ${kind.expected}, found ${found === undefined ? "nothing" : shown(found)}`);
    return;
  }
  for (const [index, element] of found.entries()) {
    if (each.read(element) === undefined) noteWrong(each, element, [...path, index], note);
  }
}

/** The parser's words, without its drawing, and with advice on what people get wrong most. */
function syntaxMistake({ message, line, column }: TomlError, text: string): string {
  const reason = (message.split("\n")[0] ?? "").replace("Invalid TOML document: ", "");
  if (reason.startsWith("trying to redefine")) return "expected each key and table once, found one again";
  if (isUnclosed(reason, text.split("\n")[line - 1]?.slice(column - 1)))
    return "expected a quote at the end of the text that begins here, found none";
  const advice = reason === "invalid value" ? ' (a text stands in quotes: "example")' : "";
  return `expected TOML, found something else: ${reason}${advice}`;
}

/** Whether a text ran into the end of its line, or of the file: to the parser that end is a control character. */
const isUnclosed = (reason: string, rest: string | undefined): boolean =>
  reason === "unfinished string" ||
  (reason.startsWith("control characters are not allowed") && (rest === "" || rest === "\r"));
