/** Authentication: from options to the plan's part and its --dump section. */

import type { Auth, Need } from "../plan.ts";
import { mechanismNames, mechanismRows } from "../sasl/mechanisms.ts";
import { statusOf } from "../transaction/exit.ts";
import type { Answers } from "./answers.ts";
import { mistake } from "./mistake.ts";
import type { Login } from "./netrc.ts";
import type { Section } from "./section.ts";
import { needWords } from "./xclient.ts";

/** What swaks knows, and the names that stand for each. */
const theirs: readonly (readonly [mechanism: string, names: readonly string[]])[] = [
  ["CRAM-MD5", ["CRAM-MD5"]],
  ["CRAM-SHA1", ["CRAM-SHA1"]],
  ["DIGEST-MD5", ["DIGEST-MD5"]],
  ["LOGIN", ["LOGIN", "LOGIN-INITIAL"]],
  ["NTLM", ["NTLM", "SPA", "MSN"]],
  ["PLAIN", ["PLAIN"]],
];

/** Names for the same thing. LOGIN-INITIAL is none: it is said otherwise. */
const aliases: ReadonlyMap<string, string> = new Map([
  ["SPA", "NTLM"],
  ["MSN", "NTLM"],
]);

/** The variable that keeps a password off the command line. */
export const passwordVariable = "TPA_SUBMIT_PROBE_PASSWORD";

/** What is shown in place of a password. */
const removed = "PROVIDED_BUT_REMOVED";

/** What the reader of these options gets from elsewhere. */
export interface Secrets {
  /** $TPA_SUBMIT_PROBE_PASSWORD. */
  readonly password?: string;
  /** What .netrc knows for the server, and for the user if one is named. */
  readonly netrc: (user: string | undefined) => Promise<Login | undefined>;
  readonly warn: (text: string) => void;
}

/** Undefined where nothing asks for it. `implied`: the protocol's name does. */
export async function authOf(
  answers: Answers,
  implied: boolean,
  secrets: Secrets,
): Promise<Auth | undefined> {
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

/** The wish that counts, the first here, and the list of mechanisms of the last that has one, as typed: as swaks has it. */
async function askedFor(
  answers: Answers,
  implied: boolean,
): Promise<{ readonly need: Need; readonly types: string } | undefined> {
  const wishes = [
    ["auth-optional-strict", "strict"],
    ["auth-optional", "optional"],
    ["auth", "required"],
  ] as const;
  const given = wishes.filter(([name]) => answers.has(name));
  const lists = await Promise.all(given.map(([name]) => answers.text(name)));
  const [first] = given;
  if (first)
    return { need: first[1], types: lists.findLast((list) => list !== undefined && list !== "") ?? "" };
  const named = (["auth-user", "auth-password", "auth-password-file"] as const).some(answers.has);
  return named || implied ? { need: "required", types: "" } : undefined;
}

const noTypes = "No auth types supported";

/** The known ones of a list, none of which may be left; an empty list for any. */
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
async function mapped(answers: Answers): Promise<readonly (readonly [string, string])[]> {
  return pairs(await answers.text("auth-map"), "auth-map").map(([name, type]) => [name, type.toUpperCase()]);
}

async function extraOf(answers: Answers): Promise<ReadonlyMap<string, string>> {
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

/** Whether one of the types does, or any may. */
const needsSecret = (types: readonly string[]): boolean =>
  types.length === 0 ||
  types.some((type) => mechanismRows.find(({ mechanism }) => mechanism.name === type)?.secret !== "none");

/** From options, then .netrc, then whoever answers; without a secret nothing is asked for. */
async function loginOf(answers: Answers, secrets: Secrets, needed: boolean): Promise<Login> {
  const given = (await answers.text("auth-user")) || undefined;
  const named = given === "<>" ? "" : given;
  const secret = await secretOf(answers, secrets);
  if (!needed) return { user: named ?? "", password: secret ?? "" };
  const found = named === undefined || secret === undefined ? await secrets.netrc(named) : undefined;
  const user = named ?? found?.user ?? (await answers.ask("Username: ", false));
  const password = secret ?? found?.password ?? (await answers.ask("Password: ", true));
  return { user, password };
}

async function secretOf(answers: Answers, { password }: Secrets): Promise<string | undefined> {
  const file = await answers.text("auth-password-file");
  if (file !== undefined) return firstLine(answers, file);
  const given = await answers.text("auth-password");
  if (given === "<>") return "";
  if (given !== undefined && given !== "") return given;
  return answers.has("auth-password") ? undefined : password;
}

/** Of a file, or of standard input for "-". */
async function firstLine(answers: Answers, path: string): Promise<string> {
  const value = path === "-" ? "-" : `@${path}`;
  const contents = await answers.contentsOf({ name: "auth-password-file", value, visible: false });
  return new TextDecoder().decode(contents?.octets).replace(/\r?\n.*$/s, "");
}

/** The lines of `--dump AUTH`, which shows the password as swaks does; `words` stands in its place elsewhere. */
export async function authSection(
  auth: Auth | undefined,
  answers: Answers,
  words?: string,
): Promise<Section> {
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
      ["show plaintext", auth.plaintext ? "TRUE" : "FALSE"],
      ["hide password", auth.hide ?? "FALSE"],
      ["allowed types", (auth.types.length > 0 ? auth.types : [...new Set(usual)].sort()).join(", ")],
      ["extras", extras.sort().join(", ")],
      ["type map", [...bases].sort(byName).map(([type, names]) => `${type} = ${names.join(", ")}`)],
    ],
  };
}

const byName = ([one]: readonly [string, unknown], [other]: readonly [string, unknown]): number =>
  one < other ? -1 : 1;

/** What --dump-as-body says in place of the password. */
export const hidden = (auth: Auth | undefined): string => auth?.hide ?? removed;
