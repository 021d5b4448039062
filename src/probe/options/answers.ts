/**
 * The values of options, once everything that stands for something else has been followed: "-" and "@FILE" read,
 * what is missing asked for. Each is looked at when it is needed, so questions come in the order of the run.
 */
import { errorCode } from "../../failure.ts";
import type { Choice, Choices } from "./choices.ts";
import { mistake, reason, withoutArgument } from "./mistake.ts";
import type { Row } from "./row.ts";
import { type Name, rowOf } from "./table.ts";

/** Whoever sits in front of the program, or the file that stands for them. */
export interface Person {
  /** The line that answers a question, without its end; undefined when there will be none. `secret`: not shown. */
  ask(question: string, secret: boolean): Promise<string | undefined>;
  /** All that is left of standard input. */
  rest(): Promise<Uint8Array>;
}

export interface Contents {
  readonly octets: Uint8Array;
  /** Without its folder, where they come from a file. */
  readonly name?: string;
}

export interface Answers {
  readonly choices: Choices;
  /** Whether the option was given. */
  readonly has: (name: Name) => boolean;
  /** The option's value, asked for if need be; undefined if it was not given, or without a value that it can spare. */
  text(name: Name): Promise<string | undefined>;
  /** The same for options that take files. */
  contents(name: Name): Promise<Contents | undefined>;
  /** What one member of a list says. */
  textOf(choice: Choice): Promise<string | undefined>;
  contentsOf(choice: Choice): Promise<Contents | undefined>;
  /** Asks what no option has told. */
  ask(question: string, secret: boolean, pattern?: RegExp): Promise<string>;
}

/** Follows `choices`; what standard input says is read once and serves all who ask for it. */
export function answersOf(choices: Choices, person: Person, readFile: (path: string) => Uint8Array): Answers {
  let input: Promise<Uint8Array> | undefined;
  const known = new Map<Choice, Promise<string | undefined>>();

  async function ask(question: string, secret: boolean, pattern?: RegExp): Promise<string> {
    for (;;) {
      const answer = await person.ask(question, secret);
      if (answer === undefined) throw mistake(noAnswer(question));
      if (pattern === undefined || pattern.test(answer)) return answer;
    }
  }

  async function typed(row: Row, value: string | undefined): Promise<string | undefined> {
    if ((value !== undefined && value !== "") || row.argument === "optional" || row.argument === "number")
      return value;
    if (row.prompt) return ask(row.prompt.text, row.sensitive === true, row.prompt.pattern);
    throw withoutArgument(row.name);
  }

  function textOf(choice: Choice): Promise<string | undefined> {
    const before = known.get(choice);
    if (before) return before;
    const text = typed(rowOf(choice.name), choice.value);
    known.set(choice, text);
    return text;
  }

  async function contentsOf(choice: Choice): Promise<Contents | undefined> {
    const text = await textOf(choice);
    if (text === undefined) return undefined;
    if (text === "-") {
      input ??= person.rest();
      return { octets: await input };
    }
    if (text.startsWith("@@")) return { octets: Buffer.from(text.slice(1)) };
    if (!text.startsWith("@")) return { octets: Buffer.from(text) };
    const path = text.slice(1);
    return { octets: readNamed(path, choice.name), name: path.replace(/^.*\//s, "") };
  }

  function readNamed(path: string, name: Name): Uint8Array {
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

  const the = (name: Name): Choice | undefined => choices.get(name);
  return {
    choices,
    ask,
    textOf,
    contentsOf,
    has: choices.has,
    text: async (name) => {
      const choice = the(name);
      return choice && textOf(choice);
    },
    contents: async (name) => {
      const choice = the(name);
      return choice && contentsOf(choice);
    },
  };
}

const noAnswer = (question: string): string =>
  `${question.replace(/:\s*$/, "")}: standard input has ended without an answer; give it as an option`;
