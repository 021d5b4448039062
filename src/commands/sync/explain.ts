/**
 * `--explain`: why somebody can log in or cannot. Everything that decides about one login, from the directory to the
 * file, and what to do next. No hash is in what it prints.
 */
import { print } from "../../cli/output.ts";
import { forLogin } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import {
  attributesOf,
  type Hash,
  hashesOf,
  isHash,
  type JudgedEntry,
  judgePasswords,
  keyObjection,
  otherReasons,
  type RuleSettings,
  rules,
} from "../../ldap/account.ts";
import { withDirectory } from "../../ldap/connection.ts";
import { passwordLines, readPasswordFile, schemeOf } from "../../ldap/contents.ts";
import { type LdapEntry, quoted, textsOf } from "../../ldap/directory.ts";
import { keysOf, nameOf } from "../../ldap/keys.ts";
import { keysInFile } from "../../ldap/keys-file.ts";
import { entriesOf } from "../../ldap/search.ts";
import { type FileState, findFile } from "../../ldap/synced-file.ts";
import { generalizedTime } from "../../passwd/named-value.ts";
import { canonicalLogin } from "../../passwd/password-file.ts";
import { readTask, ruleSettingsOf, time } from "./run.ts";

const nothingAllowed = {
  dryRun: true,
  allowShrink: false,
  allowEmpty: false,
  allowPartial: false,
  allowReferral: false,
  allowAnonymous: false,
};

/** `user` as it is typed at the login prompt, with the domain or without. */
export async function explainPerson(whole: Config, user: string, json: boolean): Promise<number> {
  const config = forLogin(whole, user);
  if (config.ldap.url.length === 0 && whole.ldap.url.length > 0) {
    const text = `the accounts of ${config.domain} do not come from the directory`;
    throw new Failure(exitStatus.config, `${text}: [[domains]] gives it neither ldap-filter nor ldap-base`);
  }
  const settings = ruleSettingsOf(config);
  const login = canonicalLogin(user, config.domain) ?? user;
  const { access, task } = await readTask(config, nothingAllowed);
  const found = await findFile(task.passwords);
  const attribute = settings["login-attribute"];
  const entries = await withDirectory(access, new AbortController().signal, async (directory) => {
    const who = { attribute, login, filter: "" };
    const all = await entriesOf(directory, task.search, who, [...attributesOf(settings), "modifyTimestamp"]);
    const wanted = await entriesOf(directory, task.search, { ...who, filter: task.search.filter }, [
      attribute,
    ]);
    return all.map((entry) => ({ entry, wanted: wanted.some(({ dn }) => dn === entry.dn) }));
  });
  const file = { path: task.passwords, modified: found?.modified, hashes: found && linesOf(found, login) };
  const keys = task.keys && {
    path: task.keys.path,
    names: keysInFile((await findFile(task.keys.path))?.octets.toString() ?? "", task.keys.owner, login).map(
      nameOf,
    ),
  };
  const explanation = explain({ login, base: task.search.base, entries, file, keys }, settings, Date.now());
  print(json ? `${JSON.stringify(explanation)}\n` : explanationText(explanation));
  return exitStatus.ok;
}

/** The login's hashes in the file; none where the file is damaged and lets nobody in. */
function linesOf({ octets }: FileState, login: string): readonly string[] | undefined {
  try {
    return readPasswordFile(octets).get(login);
  } catch (error) {
    if (error instanceof Failure && error.status === exitStatus.data) return undefined;
    throw error;
  }
}

/** What was found out about one login. */
export interface ExplainFacts {
  readonly login: string;
  /** Where the entries were looked for. */
  readonly base: string;
  /** The entries with this login, and whether `ldap.filter` finds each. */
  readonly entries: readonly { readonly entry: LdapEntry; readonly wanted: boolean }[];
  readonly file: {
    readonly path: string;
    /** When it was written, milliseconds since the epoch; undefined where there is none. */
    readonly modified: number | undefined;
    /** The login's hashes as written, or undefined where it has no line. */
    readonly hashes: readonly string[] | undefined;
  };
  /** The file of SSH keys and the login's keys in it; undefined where none is kept. */
  readonly keys?: { readonly path: string; readonly names: readonly string[] } | undefined;
}

/** What one rule says of an entry; `objection` is "" where it has none. */
export interface RuleResult {
  readonly rule: string;
  readonly about: string;
  readonly objection: string;
}

export interface ExplainedEntry {
  readonly dn: string;
  /** Milliseconds since the epoch; undefined where the directory does not say. */
  readonly changed: number | undefined;
  readonly verdicts: readonly RuleResult[];
  /** Of each value of the password attribute: its scheme, or what is wrong with it; whether the file has it. */
  readonly passwords: readonly { readonly what: string; readonly inFile: boolean }[];
  /** Of each SSH key, where a file of them is kept: its type and fingerprint, or what is wrong with it. */
  readonly keys?: readonly { readonly what: string; readonly inFile: boolean }[];
  /** The rule that keeps all keys of the entry out, where one does. */
  readonly keysLeftOut?: string | undefined;
}

export interface Explanation {
  readonly login: string;
  readonly entries: readonly ExplainedEntry[];
  readonly file: {
    readonly path: string;
    readonly modified: number | undefined;
    readonly listed: boolean;
    readonly schemes: readonly string[];
  };
  /** The result of all this, and what to do. */
  readonly conclusion: string;
}

/** Explains the facts at the time `now`. */
export function explain(given: ExplainFacts, settings: RuleSettings, now: number): Explanation {
  const { login, entries, file } = given;
  const { path, modified, hashes = [] } = file;
  const explained = entries.map(({ entry, wanted }): ExplainedEntry => {
    const judgedEntry = judgePasswords(entry, settings);
    return {
      dn: quoted(entry.dn, ""),
      changed: generalizedTime(textsOf(entry, "modifyTimestamp")[0] ?? ""),
      verdicts: [
        ruleResult("filtered", "found by ldap.filter", wanted ? undefined : otherReasons.filtered),
        ...rules.map(({ reason, about, objection }) =>
          ruleResult(reason, about, objection(judgedEntry, settings, now)),
        ),
      ],
      passwords: judgedEntry.passwords.map((one) => ({
        what: isHash(one) ? whatItIs(one) : one.detail,
        inFile: isHash(one) && hashes.includes(one.text),
      })),
      ...(given.keys && explainKeys(judgedEntry, given.keys.names)),
    };
  });

  /** Which keys count, and which of them are in the file. */
  function explainKeys(judgedEntry: JudgedEntry, inFile: readonly string[]) {
    const { keys, faults } = keysOf(judgedEntry.entry, settings["ssh-key-attribute"], login);
    const names = keys.map(nameOf).map((what) => ({ what, inFile: inFile.includes(what) }));
    return {
      keys: [...names, ...faults.map((what) => ({ what, inFile: false }))],
      keysLeftOut: keyObjection(judgedEntry, settings, now),
    };
  }

  const listed = file.hashes !== undefined;
  const facts = {
    login,
    entries: explained,
    file: { path, modified, listed, schemes: hashes.map(schemeOf) },
  };
  return { ...facts, conclusion: conclude(given, facts.entries, settings) };
}

function ruleResult(rule: string, about: string, objection: string | undefined): RuleResult {
  return { rule, about, objection: objection ?? "" };
}

/** The first obstacle on the way from the directory to the file. */
function conclude(given: ExplainFacts, explained: readonly ExplainedEntry[], settings: RuleSettings): string {
  const { login, base, entries, file } = given;
  const listed = file.hashes !== undefined;
  const leaves = listed ? "; the next sync takes the login out of the file" : "";
  const [found, ...others] = entries;
  if (found === undefined) {
    return `There is no entry with ${settings["login-attribute"]} ${login} below ${base}, or it cannot be seen${leaves}.`;
  }
  if (others.length > 0) return `${entries.length} entries have this login, so none may use it${leaves}.`;
  const objection = explained[0]?.verdicts.find((one) => one.objection !== "");
  if (objection) return `Left out (${objection.rule}): ${objection.objection}${leaves}.`;

  const wanted = passwordLines(hashesOf(judgePasswords(found.entry, settings)), settings.format);
  if (!listed)
    return "The account is good but not in the file: the next sync puts it there. Run tpa-submit sync.";
  const same = wanted.length === file.hashes.length && wanted.every((text) => file.hashes?.includes(text));
  if (!same) {
    return "The directory has another password than the file: the next sync brings it. Run tpa-submit sync.";
  }
  return (
    "The file has the directory's password. If it does not work, what is typed is not that password, " +
    "or the relay reads another file: tpa-submit passwd --verify tells."
  );
}

const whatItIs = ({ scheme, named }: Hash): string =>
  named === undefined ? scheme : `${scheme}, ${named.name}, made ${time(named.made)}`;

/** The explanation for people. */
export function explanationText({ login, entries, file, conclusion }: Explanation): string {
  const lines = entries.flatMap(({ dn, changed, verdicts, passwords, keys = [], keysLeftOut }) => [
    `entry ${dn}${changed === undefined ? "" : `, changed ${time(changed)}`}`,
    ...verdicts.map(({ rule, about, objection }) =>
      objection === "" ? `  yes  ${about}` : `  NO   ${about} (${rule}): ${objection}`,
    ),
    ...passwords.map(
      ({ what, inFile }) => `  password: ${what}, ${inFile ? "in the file" : "not in the file"}`,
    ),
    ...keys.map(
      ({ what, inFile }) => `  key: ${what}, ${inFile ? "in the file of keys" : "not in the file of keys"}`,
    ),
    ...(keys.length > 0 && keysLeftOut !== undefined ? [`  its keys do not count (${keysLeftOut})`] : []),
  ]);
  const written = file.modified === undefined ? "there is none" : `written ${time(file.modified)}`;
  const line = file.schemes.length > 0 ? file.schemes.join(" and ") : "a line that lets nobody in";
  const place = file.listed ? `has ${quoted(login, "")}: ${line}` : `does not have ${quoted(login, "")}`;
  return [...lines, `file ${file.path}, ${written}: ${place}`, conclusion, ""].join("\n");
}
