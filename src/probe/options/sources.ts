/**
 * Where options come from: one configuration file, variables SWAKS_OPT_*, the command line; later over earlier. The
 * files' places and forms are swaks'. A blank line and an indented comment, on which swaks gives up, are skipped.
 *
 * Words are read as swaks reads them: one dash or two, a name or its beginning, "=" or a space before the value,
 * `--no-NAME` forgets. Commander cannot read single dashes before long names (-tls, -ap), nor the beginnings of names,
 * and its negation means something else; so the probe has a reader of its own.
 */
import { errorCode, Failure } from "../../failure.ts";
import { mistakeStatus, reason } from "./mistake.ts";
import type { OptionChoice, OptionChoices, OptionRow } from "./option.ts";
import { find, type OptionMeaning } from "./table.ts";

/** Variables of the environment. */
export type Variables = Readonly<Record<string, string | undefined>>;

/** The sources of options. */
export interface OptionSources {
  readonly argv: readonly string[];
  readonly environment: Variables;
  /** A file's octets. Throws as node:fs does. */
  readonly readFile: (path: string) => Uint8Array;
}

/** All options that count. Throws a Failure with swaks' words for what cannot be read. */
export function gather(given: OptionSources): OptionChoices {
  const argv = checked(readTokens(tokensOf(given.argv), true), "command line");
  const variables = checked(readTokens(variablesOf(given.environment)), "environment");
  const file = configurationOf([...variables, ...argv], given);
  return choose([...file, ...variables, ...argv]);
}

/** The words of SWAKS_OPT_*, sorted by name; "<>" is an empty value, an empty one none. */
function variablesOf(environment: Variables): readonly OptionToken[] {
  return Object.keys(environment)
    .filter((name) => name.startsWith("SWAKS_OPT_"))
    .sort()
    .map((name) => {
      const text = `--${name.slice("SWAKS_OPT_".length).replaceAll("_", "-")}`;
      const value = environment[name] ?? "";
      return value === "" ? { text } : { text, value: value === "<>" ? "" : value };
    });
}

/** One line is one option: its name with or without dashes, a space or "=", its value to the end of the line. */
export function linesOf(text: string): readonly OptionToken[] {
  return text
    .split(/\r?\n/)
    .filter((line) => !/^\s*(#|$)/.test(line))
    .map((line) => {
      const [, name = "", value] = /^\s*(?:--?)?([^\s=]+:?)(?:[\s=](.*))?$/s.exec(line) ?? [];
      return value === undefined ? { text: `--${name}` } : { text: `--${name}`, value };
    });
}

/** The options of the one file that counts: --config, else $SWAKS_OPT_config, else the first .swaksrc. */
function configurationOf(settings: readonly GivenOption[], given: OptionSources): readonly GivenOption[] {
  const named = settings.findLast(({ row, forget }) => row.name === "config" && !forget);
  const path = named ? (named.value ?? "") : standardFile(given);
  if (path === undefined || path === "") return [];
  const text = contents(path, given, named !== undefined);
  if (text === undefined) return [];
  return checked(readTokens(linesOf(text)), `Config file ${path}`).filter(({ row }) => row.name !== "config");
}

function standardFile({ environment, readFile }: OptionSources): string | undefined {
  return ["SWAKS_HOME", "HOME", "LOGDIR"]
    .flatMap((name) => environment[name] || [])
    .map((folder) => `${folder}/.swaksrc`)
    .find((path) => contents(path, { readFile }, false) !== undefined);
}

/** The file's text; undefined where it is absent and need not be there. */
function contents(
  path: string,
  { readFile }: Pick<OptionSources, "readFile">,
  wanted: boolean,
): string | undefined {
  try {
    return new TextDecoder().decode(readFile(path));
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    if (!wanted && code === "ENOENT") return undefined;
    throw new Failure(
      mistakeStatus,
      `*** Config file ${path} could not be opened (${reason(code)}).  Exiting`,
    );
  }
}

function checked(
  { options: settings, leftOver: left, mistakes }: ReadOptions,
  source: string,
): readonly GivenOption[] {
  if (mistakes.length > 0) throw new Failure(mistakeStatus, mistakes.join("\n"));
  if (left.length === 0) return settings;
  const words = left.map((word) => `'${word}'`).join(", ");
  throw new Failure(
    mistakeStatus,
    `*** Data left in option list when processing  ${source} (${words}).  Exiting`,
  );
}

/** One option as it was given, or `forget`: earlier choices of it do not count. */
export interface GivenOption {
  readonly row: OptionRow;
  readonly forget: boolean;
  /** Absent: it was given without a value. */
  readonly value?: string;
  /** It stands on the command line, where ps shows it. */
  readonly visible: boolean;
}

/** A word, with its value where both are certain: "--NAME=VALUE", a line of a file. */
export interface OptionToken {
  readonly text: string;
  readonly value?: string;
}

export interface ReadOptions {
  readonly options: readonly GivenOption[];
  /** Words that belong to no option. */
  readonly leftOver: readonly string[];
  /** Unknown names and missing values, one line each. */
  readonly mistakes: readonly string[];
}

/** `--h-Subject: Hello` and `--header-Subject Hello` are `--header "Subject: Hello"`. */
const namedHeader = /^(no-)?h(?:eader)?-([^=]+?):?$/;

/** Splits the words of a command line at their first "=" where they are options. */
export const tokensOf = (argv: readonly string[]): readonly OptionToken[] => argv.map((text) => split(text));

function split(text: string): OptionToken {
  const [, name, value] = /^(--?[^=]+)=(.*)$/s.exec(text) ?? [];
  return name === undefined || value === undefined ? { text } : { text: name, value };
}

/** Reads the words of one source. `visible`: they are a command line, where a value may be the next word. */
export function readTokens(words: readonly OptionToken[], visible = false): ReadOptions {
  const settings: GivenOption[] = [];
  const left: string[] = [];
  const mistakes: string[] = [];
  let at = 0;

  /** The value behind an option, if the next word may be one. */
  function take(row: OptionRow): string | undefined {
    const next = words[at];
    if (!visible || next === undefined || !mayFollow(row, next)) return undefined;
    at++;
    return next.value === undefined ? next.text : `${next.text}=${next.value}`;
  }

  while (at < words.length) {
    const word = words[at++];
    if (word === undefined) break;
    if (word.text === "--") {
      left.push(...words.slice(at).map(({ text }) => text));
      break;
    }
    if (!/^-./.test(word.text)) {
      left.push(word.text);
      continue;
    }
    const name = word.text.replace(/^--?/, "");
    const header = namedHeader.exec(name);
    const meaning = find(header ? `${header[1] ?? ""}header` : name);
    if (!isMeaning(meaning)) {
      mistakes.push(unknown(name, meaning, settings.at(-1)));
      continue;
    }
    const { row, forget } = meaning;
    if (forget) {
      if (word.value !== undefined) left.push(word.value);
      settings.push({ row, forget, visible });
      continue;
    }
    const value = word.value ?? take(row);
    if (header) settings.push({ row, forget, value: `${header[2]}: ${value ?? ""}`, visible });
    else if (value === undefined && row.argument === "required")
      mistakes.push(`Option ${name} requires an argument`);
    else if (value !== undefined && !accepts(row, value)) {
      left.push(value);
      settings.push({ row, forget, visible });
    } else settings.push({ row, forget, visible, ...(value === undefined ? {} : { value }) });
  }
  return { options: settings, leftOver: left, mistakes };
}

const isMeaning = (found: OptionMeaning | readonly string[]): found is OptionMeaning => "row" in found;

/** Whether a value that stands in the option's own word is one that the option takes. */
function accepts(row: OptionRow, value: string): boolean {
  return row.argument === "number" ? /^[-+]?\d+$/.test(value) : row.argument !== "none";
}

/** Whether the next word is the option's value: not where it could as well be an option. */
function mayFollow(row: OptionRow, { text }: OptionToken): boolean {
  if (row.argument === "none") return false;
  if (row.argument === "required") return true;
  return accepts(row, text) && (text === "-" || !text.startsWith("-") || row.argument === "number");
}

/** swaks' text; a word after a password option may be the password, so it is not repeated. */
function unknown(name: string, candidates: readonly string[], before: GivenOption | undefined): string {
  if (before?.row.sensitive && before.value === undefined && candidates.length === 0)
    return `Unknown option behind --${before.row.name}: a password that begins with a dash is written --${before.row.name}=-…`;
  return candidates.length === 0
    ? `Unknown option: ${name}`
    : `Option ${name} is ambiguous (${candidates.join(", ")})`;
}

/** Later options replace earlier ones, lists grow, and `--no-NAME` forgets. */
export function choose(settings: readonly GivenOption[]): OptionChoices {
  let all: OptionChoice[] = [];
  for (const { row, forget, value, visible } of settings) {
    if (forget || !row.list) all = all.filter((choice) => choice.row.name !== row.name);
    if (forget) continue;
    all.push({ row, visible, ...(value === undefined ? {} : { value }) });
  }
  const get = (name: string): OptionChoice | undefined => all.findLast(({ row }) => row.name === name);
  return { all, get, has: (name) => get(name) !== undefined };
}
