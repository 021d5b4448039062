/**
 * Why somebody can log in or cannot: everything that decides about one login, from the directory to the file, and
 * what to do next. Pure; no hash is in what it tells.
 */
import { hashesOf, otherReasons, personOf, rules, type Terms } from "./account.ts";
import { schemeOf } from "./difference.ts";
import { type Entry, textsOf } from "./entry.ts";
import { isHash } from "./hash.ts";
import { passwordLines } from "./lines.ts";
import { shown } from "./shown.ts";

/** What was found out about one login. */
export interface Findings {
  readonly login: string;
  /** Where the entries were looked for. */
  readonly base: string;
  /** The entries with this login, and whether `ldap.filter` finds each. */
  readonly entries: readonly { readonly entry: Entry; readonly wanted: boolean }[];
  readonly file: {
    readonly path: string;
    /** When it was written, milliseconds since the epoch; undefined where there is none. */
    readonly modified: number | undefined;
    /** The login's hashes as written, or undefined where it has no line. */
    readonly hashes: readonly string[] | undefined;
  };
}

/** One rule's word about an entry; `objection` is "" where it has none. */
export interface Verdict {
  readonly rule: string;
  readonly about: string;
  readonly objection: string;
}

export interface ExplainedEntry {
  readonly dn: string;
  /** Milliseconds since the epoch; undefined where the directory does not tell. */
  readonly changed: number | undefined;
  readonly verdicts: readonly Verdict[];
  /** Of each value of the password attribute: its scheme, or what is wrong with it; whether the file has it. */
  readonly passwords: readonly { readonly what: string; readonly inFile: boolean }[];
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
  /** What all this comes to, and what to do. */
  readonly conclusion: string;
}

/** Tells about the findings as things stand at the time `now`. */
export function explain(findings: Findings, terms: Terms, now: number): Explanation {
  const { login, entries, file } = findings;
  const { path, modified, hashes = [] } = file;
  const explained = entries.map(({ entry, wanted }): ExplainedEntry => {
    const person = personOf(entry, terms);
    return {
      dn: shown(entry.dn, ""),
      changed: generalizedTime(textsOf(entry, "modifyTimestamp")[0] ?? ""),
      verdicts: [
        verdict("filtered", "found by ldap.filter", wanted ? undefined : otherReasons.filtered),
        ...rules.map(({ reason, about, objection }) => verdict(reason, about, objection(person, terms, now))),
      ],
      passwords: person.passwords.map((one) => ({
        what: isHash(one) ? one.scheme : one.detail,
        inFile: isHash(one) && hashes.includes(one.text),
      })),
    };
  });
  const listed = file.hashes !== undefined;
  const told = { login, entries: explained, file: { path, modified, listed, schemes: hashes.map(schemeOf) } };
  return { ...told, conclusion: conclude(findings, told.entries, terms) };
}

function verdict(rule: string, about: string, objection: string | undefined): Verdict {
  return { rule, about, objection: objection ?? "" };
}

/** From the directory to the file, the first thing that is in the way. */
function conclude(findings: Findings, explained: readonly ExplainedEntry[], terms: Terms): string {
  const { login, base, entries, file } = findings;
  const listed = file.hashes !== undefined;
  const leaves = listed ? "; the next sync takes the login out of the file" : "";
  const [found, ...others] = entries;
  if (found === undefined) {
    return `There is no entry with ${terms["login-attribute"]} ${login} below ${base}, or it cannot be seen${leaves}.`;
  }
  if (others.length > 0) return `${entries.length} entries have this login, so none may use it${leaves}.`;
  const objection = explained[0]?.verdicts.find((one) => one.objection !== "");
  if (objection) return `Left out (${objection.rule}): ${objection.objection}${leaves}.`;

  const wanted = passwordLines(hashesOf(personOf(found.entry, terms)), terms.format);
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

/** RFC 4517 section 3.3.13 as directories write it: 20261122140000Z, perhaps with a fraction. */
function generalizedTime(text: string): number | undefined {
  const found = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(?:[.,]\d+)?Z$/.exec(text);
  if (!found) return undefined;
  const [year = 0, month = 1, date = 1, hour = 0, minute = 0, second = 0] = found.slice(1).map(Number);
  return Date.UTC(year, month - 1, date, hour, minute, second);
}
