/**
 * Cases as text: what is in the directory and in the files before, and what must be in them afterwards. cases/*.cases
 *
 *     === the name of the case, in plain words
 *     # why
 *     only slapd | only fake       where it can be run; both unless it says so
 *     now 2026-11-22               the day it is
 *     set format = "dovecot"       a setting, as JSON
 *     allow --allow-shrink
 *     fake referral                the made-up directory misbehaves: referral, empty-page, limit, nobody
 *     person user1                 an entry as userdir-ldap makes it; further lines are attributes, which replace
 *       mailPassword: @md5         what it has by itself. "attribute:" alone takes it away, "…" is JSON.
 *     present                      the password file before; none where it is missing
 *       user1:@md5
 *     file                         … afterwards, to the octet; the same as before where it is missing
 *     aliases, aliases-file        the same for sender addresses
 *     keys, keys-file              the same for SSH keys
 *     report                       everything that is said about it
 */
import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export interface Person {
  readonly name: string;
  readonly attributes: readonly (readonly [name: string, value: Buffer])[];
}

export interface Case {
  readonly name: string;
  readonly only: "" | "slapd" | "fake";
  readonly now: number;
  readonly settings: Readonly<Record<string, unknown>>;
  readonly allowed: readonly string[];
  readonly fake: string;
  readonly people: readonly Person[];
  readonly present: string | undefined;
  readonly file: string | undefined;
  readonly aliases: string | undefined;
  readonly aliasesFile: string | undefined;
  readonly keys: string | undefined;
  readonly keysFile: string | undefined;
  readonly report: readonly string[];
}

/** Hashes of "correct horse" (@md5, …) and of "battery staple" (@other). */
export const hashes: Readonly<Record<string, string>> = {
  md5: "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/",
  other: "$1$saltsalt$ciGRBb32on4I9tc.XaB8B0",
  blf: "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG",
  sha512:
    "$6$u67byrTJoyJiRMtE$g2IbuaYMYp4D.8MJ4SqER6QVwDp2IBFHvoUbJJzJGrfR0L/IZFLo.sStc3oXtHG1G/LGuyXxrBLdS5QZvTLmX0",
  sha256: "$5$qrAmirLspoWJXmLJ$yxzjKT9K0.IDKoZGUU3AD94McbK1WAZ7ErICw1EaRT7",
  argon: "$argon2id$v=19$m=65536,t=3,p=1$pb0NQ1HMQ1Mi0mpiA7/ktw$WbUqpzIiWsQhPtv5DaAz3CUkP1eBu0bz4HnB3Raq7fw",
  ssha: "{SSHA}4bRDYfLObHo2RSwG+QQL5I2T8GufMJI3",
  apr1: "$apr1$abcdefgh$sIQmFnT1CuEXAsyjuXjUX/",
  des: "sgn88XbHm0Xjc",
};

export const passwordOf = (hash: string): string => (hash === "other" ? "battery staple" : "correct horse");

const folder = fileURLToPath(new URL("cases/", import.meta.url));

/** All cases, in the order of their files. */
export function readCases(): readonly Case[] {
  const texts = readdirSync(folder)
    .filter((name) => name.endsWith(".cases"))
    .sort()
    .map((name) => readFileSync(`${folder}${name}`, "utf8"));
  return texts.flatMap((text) => text.split(/^=== /m).slice(1).map(readCase));
}

type Draft = { -readonly [Key in keyof Case]: Case[Key] };

function readCase(text: string): Case {
  const [name = "", ...lines] = text.split("\n");
  const settings: Record<string, unknown> = {};
  const people: { name: string; lines: string[] }[] = [];
  const blocks = new Map<string, string[]>();
  const draft: Draft = {
    name,
    only: "",
    now: Date.UTC(2026, 10, 22, 12),
    settings,
    allowed: [],
    fake: "",
    people: [],
    present: undefined,
    file: undefined,
    aliases: undefined,
    aliasesFile: undefined,
    keys: undefined,
    keysFile: undefined,
    report: [],
  };
  let into: string[] = [];
  for (const line of lines) {
    if (line.startsWith("  ")) into.push(withHashes(line.slice(2)));
    else if (line !== "" && !line.startsWith("#"))
      into = readDirective(line, draft, settings, people, blocks);
  }
  const block = (title: string): string | undefined =>
    blocks
      .get(title)
      ?.map((line) => `${line}\n`)
      .join("");
  return {
    ...draft,
    people: people.map(({ name: uid, lines: own }) => ({ name: uid, attributes: attributesOf(uid, own) })),
    present: block("present"),
    file: block("file"),
    aliases: block("aliases"),
    aliasesFile: block("aliases-file"),
    keys: block("keys"),
    keysFile: block("keys-file"),
    report: (blocks.get("report") ?? []).toSorted(),
  };
}

function readDirective(
  line: string,
  draft: Draft,
  settings: Record<string, unknown>,
  people: { name: string; lines: string[] }[],
  blocks: Map<string, string[]>,
): string[] {
  const [word = "", ...rest] = line.split(" ");
  const value = rest.join(" ");
  const lines: string[] = [];
  if (["present", "file", "aliases", "aliases-file", "keys", "keys-file", "report"].includes(word))
    blocks.set(word, lines);
  else if (word === "person") people.push({ name: value, lines });
  else if (word === "only") draft.only = value === "slapd" ? "slapd" : "fake";
  else if (word === "now") draft.now = Date.parse(value);
  else if (word === "allow") draft.allowed = rest;
  else if (word === "fake") draft.fake = value;
  else if (word === "set") settings[rest[0] ?? ""] = JSON.parse(rest.slice(2).join(" "));
  else throw new Error(`a case has the line ${line}`);
  return lines;
}

const withHashes = (line: string): string =>
  line.replace(/@([a-z]+[0-9]*)\b/g, (all, name: string) => hashes[name] ?? all);

function attributesOf(uid: string, lines: readonly string[]): [string, Buffer][] {
  const standard: [string, Buffer][] = [
    ["uid", Buffer.from(uid)],
    ["userPassword", Buffer.from("{crypt}$1$abcdefgh$t2kJ3gGPnGv3mHTzjWWMy1")],
  ];
  const own = lines.map((line): [string, Buffer | undefined] => {
    const [, name = "", value = ""] = /^([A-Za-z]+): ?(.*)$/.exec(line) ?? [];
    if (name === "") throw new Error(`a person has the line ${line}`);
    if (value === "") return [name, undefined];
    if (value.startsWith("base64 ")) return [name, Buffer.from(value.slice(7), "base64")];
    if (value.startsWith("repeat ")) return [name, Buffer.alloc(Number(value.slice(7)), "x")];
    return [name, Buffer.from(value.startsWith('"') ? String(JSON.parse(value)) : value)];
  });
  const names = own.map(([name]) => name);
  return [
    ...standard.filter(([name]) => !names.includes(name)),
    ...own.flatMap(([name, value]): [string, Buffer][] => (value === undefined ? [] : [[name, value]])),
  ];
}
