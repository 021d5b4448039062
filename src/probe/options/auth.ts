/** Authentication: the options, how they are read into the plan, the --dump section; and .netrc. */

import { statusOf } from "../exit-status.ts";
import { mechanismNames, mechanismRows } from "../mechanisms.ts";
import type { AuthPlan, Requirement } from "../plan.ts";
import type { OptionAnswers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import { type DumpSection, flag, needWords, type OptionGroup } from "./option.ts";

export const authOptions = {
  title: "Authentication",
  rows: [
    {
      name: "auth",
      aliases: ["a"],
      argument: "optional",
      placeholder: "MECHANISM[,MECHANISM…]",
      help: "Log in, or fail. The mechanisms are tried in this order; without any, all that both sides know. Known: PLAIN, LOGIN, LOGIN-INITIAL, CRAM-MD5, CRAM-SHA1, DIGEST-MD5, NTLM (SPA, MSN), SCRAM-SHA-1, SCRAM-SHA-256 and SCRAM-SHA-512, each with -PLUS; by name alone XOAUTH2 and OAUTHBEARER, whose password is a token, and EXTERNAL, which has none.",
      example: "-t bob@example.org -s mail.example.org -p 587 -tls -a PLAIN -au alice -ap",
    },
    {
      name: "auth-optional",
      aliases: ["ao"],
      argument: "optional",
      placeholder: "MECHANISM[,MECHANISM…]",
      help: "Try to log in, and go on if that fails.",
      example: "-t bob@example.org -s mail.example.org -ao -au alice -ap",
    },
    {
      name: "auth-optional-strict",
      aliases: ["aos"],
      argument: "optional",
      placeholder: "MECHANISM[,MECHANISM…]",
      help: "Log in where it is offered; then it must succeed.",
      example: "-t bob@example.org -s mail.example.org -aos -au alice -ap",
    },
    {
      name: "auth-user",
      aliases: ["au"],
      argument: "optional",
      placeholder: "NAME",
      standard: "from .netrc, else asked for",
      help: 'The user name; "<>" is an empty one. It asks for --auth by itself.',
      example: "-t bob@example.org -s mail.example.org -p 587 -tls -au alice -ap",
    },
    {
      name: "auth-password",
      aliases: ["ap"],
      argument: "optional",
      placeholder: "PASSWORD",
      sensitive: true,
      standard: "from .netrc, else asked for",
      help: 'The password; "<>" is an empty one. While the program runs, ps shows it: better leave it out and type it, or use --auth-password-file. One that begins with a dash is written -ap=-secret.',
      example: "-t bob@example.org -s mail.example.org -p 587 -tls -au alice -ap",
    },
    {
      name: "auth-password-file",
      argument: "required",
      placeholder: "FILE",
      help: 'Read the password from the first line of a file; "-" is standard input. $TPA_SUBMIT_PROBE_PASSWORD does the same without a file.',
      example:
        "-t bob@example.org -s mail.example.org -tls -au alice --auth-password-file /run/probe/password",
      ours: true,
    },
    {
      name: "auth-map",
      aliases: ["am"],
      argument: "required",
      placeholder: "ALIAS=MECHANISM[,…]",
      help: "Take a name that the server announces for a mechanism that is known.",
      example: "-t bob@example.org -s mail.example.org --auth-map X-PLAIN=PLAIN -au alice -ap",
    },
    {
      name: "auth-extra",
      aliases: ["ae"],
      argument: "required",
      placeholder: "KEY=VALUE[,…]",
      help: "realm= or domain= (DIGEST-MD5, NTLM); dmd5-serv-type=, dmd5-host= and dmd5-serv-name= (DIGEST-MD5).",
      example:
        "-t bob@example.org -s mail.example.org -a DIGEST-MD5 -au alice -ap --auth-extra realm=example.org",
    },
    {
      name: "auth-plaintext",
      aliases: ["apt"],
      argument: "none",
      help: "Show what is said during authentication decoded, not as base64.",
      example: "-t bob@example.org -s mail.example.org -a LOGIN -au alice -ap -apt",
    },
    {
      name: "auth-hide-password",
      aliases: ["ahp"],
      argument: "optional",
      placeholder: "TEXT",
      standard: "PROVIDED_BUT_REMOVED",
      help: "Show a text in place of the password.",
      example: "-t bob@example.org -s mail.example.org -a PLAIN -au alice -ap -ahp",
    },
  ],
} as const satisfies OptionGroup;

type AuthOption = (typeof authOptions.rows)[number]["name"];

/** The mechanisms of swaks, and the names for each. */
const theirs: readonly (readonly [mechanism: string, names: readonly string[]])[] = [
  ["CRAM-MD5", ["CRAM-MD5"]],
  ["CRAM-SHA1", ["CRAM-SHA1"]],
  ["DIGEST-MD5", ["DIGEST-MD5"]],
  ["LOGIN", ["LOGIN", "LOGIN-INITIAL"]],
  ["NTLM", ["NTLM", "SPA", "MSN"]],
  ["PLAIN", ["PLAIN"]],
];

/** Other names for the same mechanism. LOGIN-INITIAL is none: its exchange differs. */
const aliases: ReadonlyMap<string, string> = new Map([
  ["SPA", "NTLM"],
  ["MSN", "NTLM"],
]);

/** The variable that keeps a password off the command line. */
export const passwordVariable = "TPA_SUBMIT_PROBE_PASSWORD";

/** What is shown in place of a password. */
const removed = "PROVIDED_BUT_REMOVED";

/** Where a login may come from besides the options. */
export interface LoginSources {
  /** $TPA_SUBMIT_PROBE_PASSWORD. */
  readonly password?: string;
  /** What .netrc knows for the server, and for the user if one is named. */
  readonly netrc: (user: string | undefined) => Promise<NetrcLogin | undefined>;
  readonly warn: (text: string) => void;
}

/** Undefined where nothing asks for it. `implied`: the name of the protocol does. */
export async function authOf(
  answers: OptionAnswers<AuthOption>,
  implied: boolean,
  secrets: LoginSources,
): Promise<AuthPlan | undefined> {
  const asked = await askedFor(answers, implied);
  if (asked === undefined) return undefined;
  const map = new Map([...aliases, ...(await mapped(answers))].map(([name, is]) => [name.toUpperCase(), is]));
  const types = typesFrom(asked.types, [...map.keys(), ...mechanismNames], secrets.warn);
  if (types === undefined) {
    if (asked.need === "required") throw mistake(noTypes, statusOf("missing"));
    secrets.warn(noTypes);
    return undefined;
  }
  const extra = await extraOf(answers);
  const hide = answers.has("auth-hide-password")
    ? (await answers.text("auth-hide-password")) || removed
    : undefined;
  const { user, password } = await loginOf(answers, secrets, needsSecret(types));
  return {
    need: asked.need,
    types,
    map,
    user,
    password,
    extra,
    plaintext: answers.has("auth-plaintext"),
    ...(hide === undefined ? {} : { hide }),
  };
}

/** As swaks does: the first option here counts, with the list of mechanisms of the last that has one, as typed. */
async function askedFor(
  answers: OptionAnswers<AuthOption>,
  implied: boolean,
): Promise<{ readonly need: Requirement; readonly types: string } | undefined> {
  const options = [
    ["auth-optional-strict", "strict"],
    ["auth-optional", "optional"],
    ["auth", "required"],
  ] as const;
  const given = options.filter(([name]) => answers.has(name));
  const lists = await Promise.all(given.map(([name]) => answers.text(name)));
  const [first] = given;
  if (first)
    return { need: first[1], types: lists.findLast((list) => list !== undefined && list !== "") ?? "" };
  const named = (["auth-user", "auth-password", "auth-password-file"] as const).some(answers.has);
  return named || implied ? { need: "required", types: "" } : undefined;
}

const noTypes = "No auth types supported";

/** The known mechanisms of a list; undefined where none is; an empty list for any. */
function typesFrom(
  text: string,
  others: readonly string[],
  warn: (text: string) => void,
): readonly string[] | undefined {
  if (text === "" || text.toUpperCase() === "ANY") return [];
  const known = new Set([...theirs.flatMap(([, names]) => names), ...others]);
  const types: string[] = [];
  for (const word of text.toUpperCase().split(",")) {
    const type = word.trim();
    if (known.has(type)) types.push(type);
    else warn(`${type} is not a recognized auth type, skipping`);
  }
  return types.length > 0 ? types : undefined;
}

/** The pairs of --auth-map, names as typed. */
async function mapped(answers: OptionAnswers<AuthOption>): Promise<readonly (readonly [string, string])[]> {
  return pairs(await answers.text("auth-map"), "auth-map").map(([name, type]) => [name, type.toUpperCase()]);
}

async function extraOf(answers: OptionAnswers<AuthOption>): Promise<ReadonlyMap<string, string>> {
  const extra = new Map<string, string>();
  for (const [key, value] of pairs(await answers.text("auth-extra"), "auth-extra")) {
    extra.set(key.toLowerCase(), value);
    if (key.toLowerCase() === "domain") extra.set("realm", value);
  }
  return extra;
}

function pairs(text: string | undefined, option: string): readonly (readonly [string, string])[] {
  if (text === undefined) return [];
  return text.split(",").map((pair) => {
    const [, key, value] = /^([^=]+)=(.+)$/s.exec(pair.trim()) ?? [];
    if (key === undefined || value === undefined) throw mistake(`Unknown ${option} format '${pair}'`);
    return [key, value];
  });
}

/** Whether one of the types needs a secret; an empty list may. */
const needsSecret = (types: readonly string[]): boolean =>
  types.length === 0 ||
  types.some((type) => mechanismRows.find(({ mechanism }) => mechanism.name === type)?.secret !== "none");

/** From options, then .netrc, then by asking; nothing is asked for where no secret is needed. */
async function loginOf(
  answers: OptionAnswers<AuthOption>,
  secrets: LoginSources,
  needed: boolean,
): Promise<NetrcLogin> {
  const given = (await answers.text("auth-user")) || undefined;
  const named = given === "<>" ? "" : given;
  const secret = await secretOf(answers, secrets);
  if (!needed) return { user: named ?? "", password: secret ?? "" };
  const found = named === undefined || secret === undefined ? await secrets.netrc(named) : undefined;
  const user = named ?? found?.user ?? (await answers.ask("Username: ", false));
  const password = secret ?? found?.password ?? (await answers.ask("Password: ", true));
  return { user, password };
}

async function secretOf(
  answers: OptionAnswers<AuthOption>,
  { password }: LoginSources,
): Promise<string | undefined> {
  const file = await answers.text("auth-password-file");
  if (file !== undefined) return firstLine(answers, file);
  const given = await answers.text("auth-password");
  if (given === "<>") return "";
  if (given !== undefined && given !== "") return given;
  return answers.has("auth-password") ? undefined : password;
}

/** Of a file, or of standard input for "-". */
async function firstLine(answers: OptionAnswers<AuthOption>, path: string): Promise<string> {
  const value = path === "-" ? "-" : `@${path}`;
  const contents = await answers.follow(value, "auth-password-file");
  return new TextDecoder().decode(contents.octets).replace(/\r?\n.*$/s, "");
}

/** The lines of `--dump AUTH`, which shows the password as swaks does; `words` stands in its place elsewhere. */
export async function authSection(
  auth: AuthPlan | undefined,
  answers: OptionAnswers<AuthOption>,
  words?: string,
): Promise<DumpSection> {
  const title = "Authentication Info";
  if (auth === undefined) return { title, lines: [["auth", "no"]] };
  const given = await mapped(answers);
  const bases = new Map(theirs);
  for (const [name, type] of given) bases.set(type, [name, ...(bases.get(type) ?? [])]);
  const usual = [...theirs.flatMap(([, names]) => names), ...given.map(([name]) => name)];
  const extras = [...auth.extra].map(([key, value]) => `${key.toUpperCase()}=${value}`);
  return {
    title,
    lines: [
      ["auth", needWords[auth.need]],
      ["username", `'${auth.user}'`],
      ["password", `'${words ?? auth.password}'`],
      ["show plaintext", flag(auth.plaintext)],
      ["hide password", auth.hide ?? "FALSE"],
      ["allowed types", (auth.types.length > 0 ? auth.types : [...new Set(usual)].sort()).join(", ")],
      ["extras", extras.sort().join(", ")],
      ["type map", [...bases].sort(byName).map(([type, names]) => `${type} = ${names.join(", ")}`)],
    ],
  };
}

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : 1;

/** What --dump-as-body shows in place of the password. */
export const hidden = (auth: AuthPlan | undefined): string => auth?.hide ?? removed;

// Logins from a .netrc file, as ftp(1) describes it: tokens between blanks, quoted ones too, macros skipped.

export interface NetrcLogin {
  readonly user: string;
  readonly password: string;
}

/**
 * The first entry for `machine`, with this `user` if one is named; else the default entry. Undefined where none fits.
 */
export function lookUp(netrc: string, machine: string, user: string | undefined): NetrcLogin | undefined {
  const entry = entriesOf(netrc).find(
    ({ machine: name, login }) =>
      (name === undefined || name === machine) && (user === undefined || login === user),
  );
  return entry && { user: entry.login ?? "", password: entry.password ?? "" };
}

interface NetrcEntry {
  /** Absent: the default, for all machines. */
  readonly machine?: string;
  login?: string;
  password?: string;
}

function entriesOf(netrc: string): readonly NetrcEntry[] {
  const entries: NetrcEntry[] = [];
  const text = netrc.replace(/^macdef[^\n]*\n(?:[^\n]+\n)*/gm, "");
  const tokens = (text.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map(unquoted);
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    const entry = entries.at(-1);
    if (token === "default") entries.push({});
    else if (token === "machine") entries.push({ machine: tokens[++at] ?? "" });
    else if (token === "login" && entry) entry.login = tokens[++at] ?? "";
    else if (token === "password" && entry) entry.password = tokens[++at] ?? "";
    else if (token === "account") at++;
  }
  return entries;
}

const unquoted = (token: string): string =>
  token.startsWith('"') ? token.slice(1, -1).replace(/\\(.)/gs, "$1") : token;
