/**
 * The values of options: "-" and "@FILE" are read, and missing values asked for. Each is looked up when it is needed,
 * so that questions come in the order of the run.
 */
import { errorCode } from "../../failure.ts";
import { mistake, reason, withoutArgument } from "./mistake.ts";
import type { OptionChoice, OptionChoices, OptionRow } from "./option.ts";

/** Standard input and the terminal, where questions are answered. */
export interface UserInput {
  /** The line that answers a question, without its end; undefined at the end of input. `secret`: not shown. */
  ask(question: string, secret: boolean): Promise<string | undefined>;
  /** All that is left of standard input. */
  rest(): Promise<Uint8Array>;
}

export interface OptionContents {
  readonly octets: Uint8Array;
  /** Without its folder, where they come from a file. */
  readonly name?: string;
}

/** The values as a group of options sees them: by the names of that group. */
export interface OptionAnswers<Name extends string> {
  /** Whether the option was given. */
  readonly has: (name: Name) => boolean;
  /** Every choice of these options, in the order in which they were given. */
  readonly given: <Some extends Name>(
    ...names: readonly Some[]
  ) => readonly { readonly name: Some; readonly choice: OptionChoice }[];
  /** The option's value, asked for if need be; undefined if it was not given, or needs none and has none. */
  readonly text: (name: Name) => Promise<string | undefined>;
  /** The same for options that take files. */
  readonly contents: (name: Name) => Promise<OptionContents | undefined>;
  /** The value of one choice of several. */
  readonly textOf: (choice: OptionChoice) => Promise<string | undefined>;
  readonly contentsOf: (choice: OptionChoice) => Promise<OptionContents | undefined>;
  /** What `value` stands for: standard input, a file, or itself. A mistake names the option. */
  readonly follow: (value: string, name: Name) => Promise<OptionContents>;
  /** Asks for what no option gives. */
  readonly ask: (question: string, secret: boolean, pattern?: RegExp) => Promise<string>;
}

/** Standard input is read once, for all options that name it. */
export function answersOf(
  choices: OptionChoices,
  user: UserInput,
  readFile: (path: string) => Uint8Array,
): OptionAnswers<string> {
  let input: Promise<Uint8Array> | undefined;
  const known = new Map<OptionChoice, Promise<string | undefined>>();

  async function ask(question: string, secret: boolean, pattern?: RegExp): Promise<string> {
    for (;;) {
      const answer = await user.ask(question, secret);
      if (answer === undefined) throw mistake(noAnswer(question));
      if (pattern === undefined || pattern.test(answer)) return answer;
    }
  }

  async function typed(row: OptionRow, value: string | undefined): Promise<string | undefined> {
    if ((value !== undefined && value !== "") || row.argument === "optional" || row.argument === "number")
      return value;
    if (row.prompt) return ask(row.prompt.text, row.sensitive === true, row.prompt.pattern);
    throw withoutArgument(row.name);
  }

  function textOf(choice: OptionChoice): Promise<string | undefined> {
    const before = known.get(choice);
    if (before) return before;
    const text = typed(choice.row, choice.value);
    known.set(choice, text);
    return text;
  }

  async function contentsOf(choice: OptionChoice): Promise<OptionContents | undefined> {
    const text = await textOf(choice);
    return text === undefined ? undefined : follow(text, choice.row.name);
  }

  async function follow(text: string, name: string): Promise<OptionContents> {
    if (text === "-") {
      input ??= user.rest();
      return { octets: await input };
    }
    if (text.startsWith("@@")) return { octets: Buffer.from(text.slice(1)) };
    if (!text.startsWith("@")) return { octets: Buffer.from(text) };
    const path = text.slice(1);
    return { octets: readNamed(path, name), name: path.replace(/^.*\//s, "") };
  }

  function readNamed(path: string, name: string): Uint8Array {
    try {
      return readFile(path);
    } catch (error) {
      const code = errorCode(error);
      if (code === "") throw error;
      throw mistake(
        `Option processing error: file ${path} not openable for option ${name} (${reason(code)})`,
      );
    }
  }

  return {
    ask,
    textOf,
    contentsOf,
    follow,
    has: choices.has,
    given: (...names) =>
      choices.all.flatMap((choice) => {
        const name = names.find((one) => one === choice.row.name);
        return name === undefined ? [] : [{ name, choice }];
      }),
    text: async (name) => {
      const choice = choices.get(name);
      return choice && textOf(choice);
    },
    contents: async (name) => {
      const choice = choices.get(name);
      return choice && contentsOf(choice);
    },
  };
}

const noAnswer = (question: string): string =>
  `${question.replace(/:\s*$/, "")}: standard input has ended without an answer; give it as an option`;

/** What questions and answers go over. */
export interface InputChannel {
  /** The next octets of standard input; undefined at its end. */
  read(): Promise<Uint8Array | undefined>;
  /** Shows a question. */
  write(text: string): void;
  /** Whether standard input is a terminal. */
  readonly terminal: boolean;
  /** Asks on the terminal itself, without showing what is typed. Throws a Failure where there is none. */
  askSecret(question: string): Promise<string>;
}

/** Answers over `channel`, line by line; secrets on the terminal where there is one. A message may follow the lines. */
export function userInputOver(channel: InputChannel): UserInput {
  let ahead: Buffer = Buffer.alloc(0);
  let ended = false;
  let drained = false;

  async function fill(): Promise<boolean> {
    const octets = ended ? undefined : await channel.read();
    if (octets === undefined) ended = true;
    else ahead = Buffer.concat([ahead, octets]);
    return !ended;
  }

  async function line(): Promise<string | undefined> {
    while (!ahead.includes(0x0a) && (await fill()));
    if (ahead.length === 0) return undefined;
    const end = ahead.indexOf(0x0a);
    const octets = end < 0 ? ahead : ahead.subarray(0, end);
    ahead = ahead.subarray(end < 0 ? ahead.length : end + 1);
    return octets.toString("utf8").replace(/\r$/, "");
  }

  return {
    async ask(question, secret) {
      if (secret && (channel.terminal || drained)) return channel.askSecret(question);
      channel.write(question);
      return line();
    },
    async rest() {
      drained = true;
      while (await fill());
      const octets = ahead;
      ahead = Buffer.alloc(0);
      return octets;
    },
  };
}
