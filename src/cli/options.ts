/**
 * The options of a command, one row each: from the rows come the parser, the help and the type of what was chosen.
 * What the words on the command line mean to the command is the command's own business.
 */
import { Command, CommanderError, Option as CommanderOption } from "commander";
import { exitStatus, Failure } from "../failure.ts";
import { print } from "./output.ts";
import { helpHeading as heading } from "./terminal.ts";

/** Reads one text strictly: undefined for what it is not. The kinds of src/config/setting-types.ts fit, too. */
export interface ValueReader<Value> {
  /** Completes "expected …". */
  readonly expected: string;
  readonly read: (text: string) => Value | undefined;
  /** All texts that it takes, where they can be counted. */
  readonly words?: readonly string[];
}

/** One row. Make it with {@link flag}, {@link value}, {@link parsed} or {@link list}. */
export interface Option<Value> {
  /** As commander has it: `-c, --config <file>`, `--tls`, `--auth [mechanisms]`. */
  readonly flags: string;
  readonly help: string;
  /** The default as the help shows it, or undefined. */
  readonly standard: string | undefined;
  /** Completes "expected …". */
  readonly expected: string;
  /** All texts that it takes, where they can be counted. */
  readonly words?: readonly string[];
  /** From every text given with the option, in order, to its value; undefined where the last is a mistake. */
  readonly read: (given: readonly string[]) => { readonly value: Value } | undefined;
}

/** One positional argument. */
export interface Argument<Syntax extends string> {
  readonly syntax: Syntax;
  readonly help: string;
  /** All texts that it takes, where they can be counted. */
  readonly words?: readonly string[];
}

type OptionRows = Readonly<Record<string, Option<unknown>>>;
type ArgumentRows = Readonly<Record<string, Argument<string>>>;

/** What a command is to the person who calls it. */
export interface CommandLine<Options extends OptionRows, Arguments extends ArgumentRows> {
  /** Behind "tpa-submit": `serve`, `queue list`. */
  readonly name: string;
  readonly summary: string;
  readonly options: Options;
  /** In the order in which they stand on the command line. */
  readonly arguments: Arguments;
  /** Whole lines that can be typed as they stand. */
  readonly examples: readonly string[];
}

/** Any of them, where only what is shown of it matters. */
export type AnyCommandLine = CommandLine<OptionRows, ArgumentRows>;

export type OptionsOf<Options extends OptionRows> = {
  readonly [Key in keyof Options]: Options[Key] extends Option<infer Value> ? Value : never;
};

type ArgumentValue<Syntax extends string> = Syntax extends `${string}...${string}`
  ? readonly string[]
  : Syntax extends `<${string}`
    ? string
    : string | undefined;

export type ArgumentsOf<Arguments extends ArgumentRows> = {
  readonly [Key in keyof Arguments]: Arguments[Key] extends Argument<infer Syntax>
    ? ArgumentValue<Syntax>
    : never;
};

/** What was typed, checked. */
export interface Chosen<Options extends OptionRows, Arguments extends ArgumentRows> {
  readonly options: OptionsOf<Options>;
  readonly arguments: ArgumentsOf<Arguments>;
}

/** Writes a command down; returns it with the type that {@link parseOptions} infers from. */
export const command = <Options extends OptionRows, Arguments extends ArgumentRows>(
  line: CommandLine<Options, Arguments>,
): CommandLine<Options, Arguments> => line;

/** An option without a value: whether it was given. `--no-…` is true when it was given, as well. */
export function flag(flags: string, help: string): Option<boolean> {
  return {
    flags,
    help,
    standard: undefined,
    expected: "no value",
    read: (given) => ({ value: given.length > 0 }),
  };
}

/**
 * An option with a text; the last one counts. Where the flags say `[value]` the text may be left out and is then "".
 * Without `standard` it is undefined when the option is not given.
 */
export function value(flags: string, help: string): Option<string | undefined>;
export function value(flags: string, help: string, standard: string): Option<string>;
export function value(flags: string, help: string, standard?: string): Option<string | undefined> {
  const expected = "a text";
  return { flags, help, standard, expected, read: (given) => ({ value: given.at(-1) ?? standard }) };
}

/** An option with something that is read from its text, such as a number; `standard` is a text, too. */
export function parsed<Value>(
  flags: string,
  help: string,
  reading: ValueReader<Value>,
): Option<Value | undefined>;
export function parsed<Value>(
  flags: string,
  help: string,
  reading: ValueReader<Value>,
  standard: string,
): Option<Value>;
export function parsed<Value>(
  flags: string,
  help: string,
  { expected, read, words }: ValueReader<Value>,
  standard?: string,
): Option<Value | undefined> {
  return {
    flags,
    help,
    standard,
    expected,
    ...(words !== undefined && { words }),
    read: (given) => {
      const text = given.at(-1) ?? standard;
      if (text === undefined) return { value: undefined };
      const found = read(text);
      return found === undefined ? undefined : { value: found };
    },
  };
}

/** An option that may be given several times: all its texts, in order. */
export function list(flags: string, help: string): Option<readonly string[]> {
  return { flags, help, standard: undefined, expected: "a text", read: (given) => ({ value: given }) };
}

/** `<file>` must be given, `[file]` may, `<file...>` takes one or more, `[file...]` any number. */
export function argument<const Syntax extends string>(
  syntax: Syntax,
  help: string,
  words?: readonly string[],
): Argument<Syntax> {
  return { syntax, help, ...(words !== undefined && { words }) };
}

/** A whole number from `least` to `most`. */
export const wholeNumber = (least: number, most = Number.MAX_SAFE_INTEGER): ValueReader<number> => ({
  expected:
    most === Number.MAX_SAFE_INTEGER
      ? `a whole number of at least ${least}`
      : `a whole number from ${least} to ${most}`,
  read: (text) => {
    const number = /^\d{1,16}$/.test(text) ? Number(text) : Number.NaN;
    return number >= least && number <= most ? number : undefined;
  },
});

/** One of the words given. */
export const oneOf = <const Word extends string>(...words: readonly Word[]): ValueReader<Word> => ({
  expected: `one of ${words.join(", ")}`,
  read: (text) => words.find((word) => word === text),
  words,
});

/**
 * Reads `argv`, the words behind the command's name. Returns undefined when help was asked for: it has been handed
 * to `show` (standard output), and the command returns 0.
 * Throws a {@link usageMistake} for an unknown option, a missing value, a value of the wrong kind.
 */
export function parseOptions<Options extends OptionRows, Arguments extends ArgumentRows>(
  command: CommandLine<Options, Arguments>,
  argv: readonly string[],
  show: (help: string) => void = print,
): Chosen<Options, Arguments> | undefined {
  const { parser, givenTo } = parserOf(command);
  parser.configureOutput({
    writeOut: show,
    writeErr: () => undefined,
    getOutHasColors: () => true, // the headings have been asked
  });
  try {
    parser.parse(argv, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.code === "commander.helpDisplayed") return undefined;
    throw usageMistake(command.name, oneLine(error.message));
  }
  const options = Object.entries(command.options).map(([key, option]) => {
    const given = givenTo(key);
    const read = option.read(given);
    if (read) return [key, read.value];
    throw usageMistake(
      command.name,
      `${option.flags}: expected ${option.expected}, found "${given.at(-1) ?? ""}"`,
    );
  });
  const places = Object.keys(command.arguments).map((key, index) => [key, parser.processedArgs[index]]);
  return {
    options: Object.fromEntries(options) as OptionsOf<Options>,
    arguments: Object.fromEntries(places) as ArgumentsOf<Arguments>,
  };
}

/** Status 64 and one line that ends with where to read on. */
export function usageMistake(name: string, mistake: string): Failure {
  return new Failure(exitStatus.usage, `${mistake}; see tpa-submit ${name} --help`);
}

function parserOf(command: AnyCommandLine) {
  const parser = new Command(`tpa-submit ${command.name}`)
    .description(command.summary)
    .helpOption("-h, --help", "Show this help.")
    .configureHelp({ styleTitle: heading, optionDescription: ({ description }) => description })
    .addHelpText(
      "after",
      `\n${heading("Examples:")}\n${command.examples.map((line) => `  ${line}\n`).join("")}`,
    )
    .allowExcessArguments(false)
    .exitOverride();
  for (const { syntax, help } of Object.values(command.arguments)) parser.argument(syntax, help);
  const given = new Map<string, string[]>();
  for (const [key, { flags, help, standard }] of Object.entries(command.options)) {
    const shown = standard === undefined || standard === "" ? help : `${help} (default: ${standard})`;
    const texts: string[] = [];
    given.set(key, texts);
    const option = new CommanderOption(flags, shown);
    if (option.optional) option.preset("");
    parser.addOption(option);
    parser.on(`option:${option.name()}`, (text: string | null) => texts.push(text ?? ""));
  }
  return { parser, givenTo: (key: string): readonly string[] => given.get(key) ?? [] };
}

/** Commander's words without "error:", the line break before its advice, and the value of an unknown option. */
function oneLine(said: string): string {
  return said
    .replace(/^error: /, "")
    .replace(/(unknown option '[^'=]*)=.*'/s, "$1'")
    .replace(/\n\(Did you mean (one of )?([^?]*)\?\)$/, " (did you mean $1$2?)")
    .replace(/\s*\n\s*/g, " ");
}
