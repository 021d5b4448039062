/**
 * The passwords that the relay itself logs in with, at a directory or at another relay: each in a file of its own, which
 * the service alone can read. They come from a file or from the terminal, and are never shown.
 */
import { readFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { usageMistake } from "../../cli/options.ts";
import { openTerminal } from "../../cli/prompt.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { orUndefined } from "../check/context.ts";
import { flagOf, type InitAnswers } from "./answers.ts";
import { type InitOptions, line } from "./options.ts";

interface SecretKind {
  /** Whose password it is. */
  readonly login: "bindDn" | "relayUser";
  /** What names a file with it. */
  readonly option: "bindPasswordFile" | "relayPasswordFile";
  /** Its own file, beside the configuration, unless the configuration names another one. */
  readonly name: string;
  readonly table: string;
  readonly key: string;
  /** What the configuration says. */
  readonly standing: (config: Config) => { readonly login: string; readonly file: string };
}

const kinds: readonly SecretKind[] = [
  {
    login: "bindDn",
    option: "bindPasswordFile",
    name: "ldap-password",
    table: "ldap",
    key: "bind-password-file",
    standing: ({ ldap }) => ({ login: ldap["bind-dn"], file: ldap["bind-password-file"] }),
  },
  {
    login: "relayUser",
    option: "relayPasswordFile",
    name: "relay-password",
    table: "delivery",
    key: "relay-password-file",
    standing: ({ delivery }) => ({ login: delivery["relay-user"], file: delivery["relay-password-file"] }),
  },
];

/** A file that the configuration is to name. */
export interface PlannedSecret {
  readonly table: string;
  readonly key: string;
  readonly path: string;
  /** What it is to hold; absent where it stays as it is. */
  readonly text?: string;
  readonly isNew: boolean;
}

/** `before` is the configuration as it stands. Throws a Failure where a password is missing, or cannot be read. */
export async function secretsFor(
  options: InitOptions,
  answers: InitAnswers,
  before: Config | undefined,
  isAsking: boolean,
): Promise<readonly PlannedSecret[]> {
  const planned: PlannedSecret[] = [];
  for (const { login: key, option, name, standing, ...setting } of kinds) {
    const login = answers[key];
    const given = options[option];
    const known = before ? standing(before) : { login: "", file: "" };
    if (login === "") {
      if (given === undefined) continue;
      throw usageMistake(line.name, `${flagOf(option)} needs ${flagOf(key)}`);
    }
    const path = known.file || join(dirname(options.config), name);
    const there = await orUndefined(readFile(path, "utf8"));
    const isKnown = there !== undefined || known.file !== "";
    if (given === undefined && isKnown && (login === known.login || !isAsking)) {
      planned.push({ ...setting, path, isNew: false });
      continue;
    }
    if (given === undefined && !isAsking) {
      throw usageMistake(line.name, `${flagOf(key)} needs ${flagOf(option)} where nobody can be asked`);
    }
    const text = `${given === undefined ? await askFor(login) : await passwordIn(given, flagOf(option))}\n`;
    planned.push({ ...setting, path, isNew: there === undefined, ...(text !== there && { text }) });
  }
  return planned;
}

async function askFor(login: string): Promise<string> {
  const terminal = openTerminal("name a file that has it");
  try {
    const password = await terminal.askSecret(`Password of ${login}: `);
    if (password !== "") return password;
    throw new Failure(exitStatus.temporary, "the password is empty; nothing is changed");
  } finally {
    terminal.close();
  }
}

/** The one line of `file`. */
async function passwordIn(file: string, option: string): Promise<string> {
  let text: string;
  try {
    text = await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${option}: ${errorText(error)}`);
  }
  const password = text.replace(/\r?\n$/, "");
  if (password !== "" && !/[\r\n]/.test(password)) return password;
  throw new Failure(exitStatus.data, `${option}: ${file}: expected one line, the password`);
}
