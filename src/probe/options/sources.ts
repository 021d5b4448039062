/**
 * Where options come from: one configuration file, variables SWAKS_OPT_*, the command line; later over earlier.
 * The files' places and forms are swaks'. A blank line and an indented comment, on which swaks gives up, are skipped.
 */
import { errorCode, Failure } from "../../failure.ts";
import { type Choices, choose } from "./choices.ts";
import { mistakeStatus, reason } from "./mistake.ts";
import { type Reading, readWords, type Setting, type Word, wordsOf } from "./words.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** What is read from outside. */
export interface Given {
  readonly argv: readonly string[];
  readonly environment: Environment;
  /** A file's octets. Throws as node:fs does. */
  readonly readFile: (path: string) => Uint8Array;
}

/** All options that count. Throws a Failure with swaks' words for what cannot be read. */
export function gather(given: Given): Choices {
  const argv = checked(readWords(wordsOf(given.argv), true), "command line");
  const variables = checked(readWords(variablesOf(given.environment)), "environment");
  const file = configurationOf([...variables, ...argv], given);
  return choose([...file, ...variables, ...argv]);
}

/** The words of SWAKS_OPT_*, sorted by name; "<>" is an empty value, an empty one none. */
export function variablesOf(environment: Environment): readonly Word[] {
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
export function linesOf(text: string): readonly Word[] {
  return text
    .split(/\r?\n/)
    .filter((line) => !/^\s*(#|$)/.test(line))
    .map((line) => {
      const [, name = "", value] = /^\s*(?:--?)?([^\s=]+:?)(?:[\s=](.*))?$/s.exec(line) ?? [];
      return value === undefined ? { text: `--${name}` } : { text: `--${name}`, value };
    });
}

/** The options of the one file that counts: --config, else $SWAKS_OPT_config, else the first .swaksrc. */
function configurationOf(settings: readonly Setting[], given: Given): readonly Setting[] {
  const named = settings.findLast(({ row, forget }) => row.name === "config" && !forget);
  const path = named ? (named.value ?? "") : standardFile(given);
  if (path === undefined || path === "") return [];
  const text = contents(path, given, named !== undefined);
  if (text === undefined) return [];
  return checked(readWords(linesOf(text)), `Config file ${path}`).filter(({ row }) => row.name !== "config");
}

function standardFile({ environment, readFile }: Given): string | undefined {
  return ["SWAKS_HOME", "HOME", "LOGDIR"]
    .flatMap((name) => environment[name] || [])
    .map((folder) => `${folder}/.swaksrc`)
    .find((path) => contents(path, { readFile }, false) !== undefined);
}

/** The file's text; undefined where it is absent and need not be there. */
function contents(path: string, { readFile }: Pick<Given, "readFile">, wanted: boolean): string | undefined {
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

function checked({ settings, left, mistakes }: Reading, source: string): readonly Setting[] {
  if (mistakes.length > 0) throw new Failure(mistakeStatus, mistakes.join("\n"));
  if (left.length === 0) return settings;
  const words = left.map((word) => `'${word}'`).join(", ");
  throw new Failure(
    mistakeStatus,
    `*** Data left in option list when processing  ${source} (${words}).  Exiting`,
  );
}
