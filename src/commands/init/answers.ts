/** What `init` has to know: from its options, from the configuration that is there, or from whoever sits at the terminal. */
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { createInterface } from "node:readline/promises";
import { usageMistake } from "../../cli/options.ts";
import { directories, hostName, path, relay, type SettingType, text } from "../../config/setting-types.ts";
import type { Config } from "../../config/settings.ts";
import { errorCode, exitStatus, Failure } from "../../failure.ts";
import { fullName } from "../probe/option-host.ts";
import { type InitOptions, line } from "./options.ts";

type QuestionKey =
  | "hostname"
  | "domain"
  | "certificate"
  | "key"
  | "ldap"
  | "base"
  | "bindDn"
  | "login"
  | "relay"
  | "relayUser"
  | "passwords"
  | "spool";

/** "" where it was neither given nor asked for, and the configuration stays as it is. */
export type InitAnswers = Readonly<Record<QuestionKey, string>>;

interface Question {
  readonly key: QuestionKey;
  /** Undefined: only an option answers it. */
  readonly ask?: string;
  readonly type: SettingType<unknown>;
  /** What is meant by an empty answer; "" where it may be left open. */
  readonly standard: (known: InitAnswers, before: Config | undefined) => string;
  /** Where it makes no sense: what was answered before decides. */
  readonly skip?: (known: InitAnswers, before: Config | undefined) => boolean;
}

const questions: readonly Question[] = [
  {
    key: "hostname",
    ask: "Name of this host, as mail programs will have it",
    type: hostName,
    standard: (_, before) => before?.hostname ?? ownName(),
  },
  {
    key: "domain",
    ask: "Mail domain: user1 will be user1@",
    type: hostName,
    standard: ({ hostname: host }, before) => before?.domain ?? host.split(".").slice(1).join("."),
  },
  {
    key: "certificate",
    ask: "Certificate with its chain (PEM)",
    type: path,
    standard: ({ hostname: host }, before) => before?.tls.certificate ?? certbots(host, "fullchain.pem"),
  },
  {
    key: "key",
    ask: "Its private key (PEM)",
    type: path,
    standard: ({ hostname: host }, before) => before?.tls.key ?? certbots(host, "privkey.pem"),
  },
  {
    key: "ldap",
    ask: 'Directory that logins come from, such as "ldaps://db.example.org"; empty for none',
    type: directories,
    standard: () => "",
    skip: ({ login }, before) => login !== "" || (before?.ldap.url.length ?? 0) > 0,
  },
  {
    key: "base",
    ask: 'Where the accounts are, such as "ou=users,dc=example,dc=org"',
    type: text,
    standard: (_, before) => before?.ldap.base ?? "",
    skip: ({ ldap }) => ldap === "",
  },
  {
    key: "bindDn",
    ask: 'Whom to log in as there, such as "uid=sync,ou=services,dc=example,dc=org"; empty for nobody',
    type: text,
    standard: (_, before) => before?.ldap["bind-dn"] ?? "",
    skip: ({ ldap }) => ldap === "",
  },
  {
    key: "login",
    ask: "A first login, such as user1; empty for none",
    type: { expected: 'a login such as "user1"', read: readLogin },
    standard: () => "",
    skip: ({ ldap }, before) => ldap !== "" || (before?.ldap.url.length ?? 0) > 0,
  },
  {
    key: "relay",
    ask: 'Where mail leaves to: "mx" for each domain\'s own servers, or a relay such as "smtp://relay.example.org:25"',
    type: relay,
    standard: () => "",
  },
  {
    key: "relayUser",
    ask: "Login at that relay; empty for none",
    type: text,
    standard: (_, before) => before?.delivery["relay-user"] ?? "",
    skip: ({ relay: to }) => !/^smtps?:/.test(to),
  },
  { key: "passwords", type: path, standard: () => "" },
  { key: "spool", type: path, standard: () => "" },
];

function readLogin(value: unknown): string | undefined {
  return typeof value === "string" && /^[^\s:@/#]+$/.test(value) ? value : undefined;
}

const ownName = (): string => {
  const name = fullName(hostname(), textIfThere("/etc/hosts"));
  return name.includes(".") ? name : "";
};

/** Where certbot has it; "" where it has none, and the default of the configuration is right. */
const certbots = (host: string, name: string): string => {
  const file = `/etc/letsencrypt/live/${host}/${name}`;
  return textIfThere(file) === "" ? "" : file;
};

function textIfThere(file: string): string {
  try {
    return readFileSync(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return "";
  }
}

const none: InitAnswers = {
  hostname: "",
  domain: "",
  certificate: "",
  key: "",
  ldap: "",
  base: "",
  bindDn: "",
  login: "",
  relay: "",
  relayUser: "",
  passwords: "",
  spool: "",
};

/** How the option `key` is written. */
export const flagOf = (key: keyof InitOptions): string => line.options[key].flags.replace(/ <.*/, "");

/**
 * All answers, some of them asked for where somebody `isAsking`; `before` is the configuration that is there. Throws a
 * Failure for one that is wrong, and where something is not known that must be.
 */
export async function answersFor(
  options: InitOptions,
  before: Config | undefined,
  isAsking: boolean,
): Promise<InitAnswers> {
  let known = none;
  for (const question of questions) {
    const { key, type } = question;
    const given = options[key];
    let answer = given ?? "";
    if (given !== undefined && given !== "" && type.read(given) === undefined) {
      throw usageMistake(line.name, `${flagOf(key)}: expected ${type.expected}, found "${given}"`);
    }
    if (given === undefined && question.ask !== undefined && question.skip?.(known, before) !== true) {
      const standard = question.standard(known, before);
      answer = isAsking ? await ask(question.ask, standard, type) : standard;
    }
    known = { ...known, [key]: answer };
  }
  for (const key of ["hostname", "domain"] as const) {
    if (known[key] === "") throw usageMistake(line.name, `--${key} is needed: it cannot be guessed here`);
  }
  for (const [one, other] of [
    ["certificate", "key"],
    ["ldap", "base"],
  ] as const) {
    if (known[one] !== "" && known[other] === "") {
      throw usageMistake(line.name, `--${one} needs --${other}`);
    }
  }
  return known;
}

/** Asks until the answer can be read; an empty one is `standard`. */
async function ask(question: string, standard: string, type: SettingType<unknown>): Promise<string> {
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  const stopped = new AbortController();
  terminal.on("SIGINT", () => stopped.abort()).on("close", () => stopped.abort());
  try {
    for (;;) {
      const shown = standard === "" ? "" : ` [${standard}]`;
      const typed = await terminal.question(`${question}${shown}: `, { signal: stopped.signal });
      const answer = typed.trim() || standard;
      if (answer === "" || type.read(answer) !== undefined) return answer;
      process.stderr.write(`expected ${type.expected}\n`);
    }
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "AbortError") throw error;
    process.stderr.write("\n");
    throw new Failure(exitStatus.temporary, "nothing is changed");
  } finally {
    terminal.close();
  }
}
