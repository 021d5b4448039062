/** A world for the probe's options to look at: a few files, a few answers, a clock that stands still. */

import { userInputOver } from "../../../src/probe/options/answers.ts";
import {
  type OptionDependencies,
  type ParsedCommandLine,
  parseProbe,
} from "../../../src/probe/options/parse.ts";

export interface Given {
  readonly argv: readonly string[];
  readonly environment?: Readonly<Record<string, string>>;
  readonly files?: Readonly<Record<string, string>>;
  /** Standard input. */
  readonly input?: string;
  /** What is typed on the terminal when a secret is asked for there. */
  readonly typed?: string;
  /** Standard input and standard error are terminals. */
  readonly terminal?: boolean;
  readonly netrc?: string;
}

export interface Seen {
  readonly outcome: ParsedCommandLine;
  /** What was written while it was asked: prompts. */
  readonly prompts: string;
  /** Questions on the terminal itself. */
  readonly secrets: readonly string[];
  /** Files that were emptied or made. */
  readonly created: readonly string[];
}

const missing = (path: string): Error => Object.assign(new Error(path), { code: "ENOENT" });

/** Reads a command line in a world of its own. */
export async function look(given: Given): Promise<Seen> {
  const { files = {}, terminal = false } = given;
  const secrets: string[] = [];
  const created: string[] = [];
  let prompts = "";
  let input = given.input;
  const dependencies: OptionDependencies = {
    argv: given.argv,
    environment: given.environment ?? {},
    readFile: (path) => {
      const text = files[path];
      if (text === undefined) throw missing(path);
      return Buffer.from(text);
    },
    list: (path) => {
      const names = Object.keys(files).filter((name) => name.startsWith(`${path}/`));
      return names.length === 0 ? undefined : names.map((name) => name.slice(path.length + 1));
    },
    create: (path) => {
      if (path.startsWith("/nowhere/")) throw missing(path);
      created.push(path);
    },
    user: userInputOver({
      read: async () => {
        const octets = input === undefined ? undefined : Buffer.from(input);
        input = undefined;
        return octets;
      },
      write: (text) => {
        prompts += text;
      },
      terminal,
      askSecret: async (question) => {
        secrets.push(question);
        return given.typed ?? "";
      },
    }),
    names: { host: "host.example.org", account: "account", logname: "alice" },
    programNames: { program: "swaks", mailer: "swaks v20240103.0 jetmore.org/john/code/swaks/" },
    version: "tpa-submit probe 1.0.0",
    tokens: {
      date: "Sun, 22 Nov 2026 14:02:46 +0000",
      messageId: "20261122140246.004711@host.example.org",
      version: "20240103.0",
      run: "4711",
    },
    terminal,
    services: () => "smtp 25/tcp mail\nsubmission 587/tcp msa\nsmtp 25/udp\n",
    netrc: () => given.netrc,
    route: async (domain) => `mx.${domain}`,
  };
  const outcome = await parseProbe(dependencies);
  return { outcome, prompts, secrets, created };
}

/** Splits words as a shell does, with single and double quotes. */
export const wordsOf = (line: string): readonly string[] =>
  (line.match(/(?:"[^"]*"|'[^']*'|[^\s"'])+/g) ?? []).map((word) =>
    word.replace(/"([^"]*)"|'([^']*)'/g, (_, one?: string, other?: string) => one ?? other ?? ""),
  );

/** Reads a line of words; the rest of the world as `given` has it. */
export const type = (line: string, given: Omit<Given, "argv"> = {}): Promise<Seen> =>
  look({ ...given, argv: wordsOf(line) });

/** What was printed; fails where nothing was. */
export async function printed(line: string, given: Omit<Given, "argv"> = {}): Promise<string> {
  const { outcome } = await type(line, given);
  if (outcome.kind === "print") return Buffer.from(outcome.octets).toString();
  throw new Error(outcome.kind === "mistake" ? outcome.text : "it wants to run");
}

/** The plan; fails where there is none. */
export async function planned(line: string, given: Omit<Given, "argv"> = {}) {
  const { outcome } = await type(line, given);
  if (outcome.kind === "run") return outcome.plan;
  throw new Error(outcome.kind === "mistake" ? outcome.text : "it prints");
}
