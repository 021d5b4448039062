/**
 * Who may log in: an entry of the directory becomes an account, or a named reason why not.
 * The rules are userdir-ldap's for mail, a row each; man/tpa-submit-sync.8, REASONS, lists them and a test compares.
 */
import { type Entry, textsOf, valuesOf } from "./entry.ts";
import { type Fault, type Format, type Hash, isHash, judgeHash } from "./hash.ts";
import { shown } from "./shown.ts";

/** The settings that decide, as `[ldap]` and `[sync]` name them; an attribute "" turns its rule off. */
export interface Terms {
  readonly "login-attribute": string;
  readonly "password-attribute": string;
  readonly "lock-attribute": string;
  readonly "status-attribute": string;
  readonly "group-attribute": string;
  readonly "expiry-attribute": string;
  readonly "sender-attribute": string;
  readonly format: Format;
  readonly guests: boolean;
  readonly "guest-group": string;
  /** Milliseconds. */
  readonly "retiring-for": number;
}

export interface Account {
  readonly login: string;
  /** As the directory wrote it. */
  readonly dn: string;
  /** One at least; each opens the door. In the directory's order. */
  readonly hashes: readonly Hash[];
}

export interface Exclusion {
  /** Both fit to be shown; the login may be "". */
  readonly login: string;
  readonly dn: string;
  readonly reason: Reason;
  /** For people; never has a hash in it. */
  readonly detail: string;
}

/** An entry, and each value of its password attribute judged. */
export interface Person {
  readonly entry: Entry;
  readonly passwords: readonly (Hash | Fault)[];
}

/** One rule about one person: what must be so, and what speaks against it (undefined: nothing). */
export interface Rule {
  readonly reason: string;
  readonly about: string;
  readonly objection: (person: Person, terms: Terms, now: number) => string | undefined;
}

const day = 86_400_000;

/** In this order; the first objection is the reason. */
export const rules = [
  {
    reason: "no-login",
    about: "exactly one login, of small letters, digits and . _ -",
    objection: ({ entry }, { "login-attribute": attribute }) => {
      const logins = valuesOf(entry, attribute);
      if (logins.length !== 1) return `${logins.length} values of ${attribute}`;
      const [login] = textsOf(entry, attribute);
      if (login !== undefined && plainLogin.test(login.toLowerCase())) return undefined;
      return `${attribute} ${shown(login ?? "")} is no login`;
    },
  },
  {
    // Dovecot lowers what a client says and not what stands in the file; two that differ in case would be one.
    reason: "upper-case",
    about: "a login without capital letters",
    objection: ({ entry }, { "login-attribute": attribute }) => {
      const capital = textsOf(entry, attribute).find((login) => login !== login.toLowerCase());
      return capital === undefined ? undefined : `${attribute} ${shown(capital)} has capital letters`;
    },
  },
  {
    reason: "retired",
    about: "still with us",
    objection: ({ entry }, { "status-attribute": attribute, "retiring-for": grace }, now) => {
      const statuses = textsOf(entry, attribute);
      return statuses
        .map((status) => retired(status, grace, now))
        .find((objection) => objection !== undefined);
    },
  },
  {
    reason: "locked",
    about: "a main password that is not locked",
    objection: ({ entry }, { "lock-attribute": attribute }) => {
      if (attribute === "") return undefined;
      const values = valuesOf(entry, attribute).map((value) => value.toString("latin1"));
      if (values.length === 0) return `no ${attribute} to be seen`;
      return values.some((value) => lockedMain.test(value)) ? `${attribute} is locked` : undefined;
    },
  },
  {
    reason: "expired",
    about: "not past the last day",
    objection: ({ entry }, { "expiry-attribute": attribute }, now) => {
      const days = textsOf(entry, attribute)
        .filter((text) => /^\d{1,6}$/.test(text))
        .map(Number);
      const ended = days.find((last) => last < Math.floor(now / day));
      return ended === undefined ? undefined : `${attribute} was ${dateOf(ended * day)}`;
    },
  },
  {
    reason: "guest",
    about: "no guest, where guests may not",
    objection: ({ entry }, { guests, "group-attribute": attribute, "guest-group": group }) =>
      !guests && textsOf(entry, attribute).includes(group) ? `${attribute} has ${shown(group)}` : undefined,
  },
  {
    reason: "no-password",
    about: "a mail password",
    objection: ({ passwords }, { "password-attribute": attribute }) =>
      passwords.length === 0 ? `no ${attribute}` : undefined,
  },
  passwordRule("password-empty", "a mail password that is not empty"),
  passwordRule("password-characters", "a mail password of characters that a hash has"),
  passwordRule("password-locked", "a mail password that is not locked"),
  passwordRule("password-damaged", "a mail password that is a whole hash of a known scheme"),
] as const satisfies readonly Rule[];

/** What only shows beside the other entries, or beside the file: census.ts, difference.ts. */
export const otherReasons = {
  duplicate: "another entry has the same login",
  filtered: "there is an entry, but the filter does not want it",
  absent: "there is no entry that the filter finds",
} as const;

export type Reason = (typeof rules)[number]["reason"] | keyof typeof otherReasons;

/** Judges one entry at the time `now` (milliseconds since the epoch). */
export function judge(entry: Entry, terms: Terms, now: number): Account | Exclusion {
  const login = loginOf(entry, terms);
  const person = personOf(entry, terms);
  for (const { reason, objection } of rules) {
    const detail = objection(person, terms, now);
    if (detail !== undefined) return { login: shown(login, ""), dn: shown(entry.dn, ""), reason, detail };
  }
  return { login, dn: entry.dn, hashes: hashesOf(person) };
}

/** Judges the passwords of an entry. */
export function personOf(entry: Entry, terms: Terms): Person {
  const values = valuesOf(entry, terms["password-attribute"]);
  return { entry, passwords: values.map((value) => judgeHash(value, terms.format)) };
}

/** Whether it is an account. */
export function isAccount(judged: Account | Exclusion): judged is Account {
  return "hashes" in judged;
}

/** The hashes that let somebody in. */
export function hashesOf({ passwords }: Person): readonly Hash[] {
  return passwords.filter(isHash);
}

/** The attributes that the rules look at. */
export function attributesOf(terms: Terms): readonly string[] {
  const names = Object.entries(terms).filter(([setting]) => setting.endsWith("-attribute"));
  return [...new Set(names.map(([, name]) => String(name)).filter((name) => name !== ""))];
}

/** The first login of an entry, in small letters; "" where there is none. */
export function loginOf(entry: Entry, terms: Terms): string {
  return textsOf(entry, terms["login-attribute"])[0]?.toLowerCase() ?? "";
}

/** What useradd(8) allows, and a full stop within. A plus sign would make it somebody's address extension. */
const plainLogin = /^[a-z0-9_](?:[a-z0-9._-]{0,62}[a-z0-9_-])?$/;

/** userdir-ldap's pw_active(): {crypt}*LK* by its own lock, {crypt}! by usermod(8). */
const lockedMain = /^\{CRYPT\}(?:\*LK\*$|!)/i;

/** userdir-ldap's IsRetired(): the first word decides; a date that is none keeps the account. */
function retired(status: string, grace: number, now: number): string | undefined {
  const [word = "", date = ""] = status.trim().split(/\s+/);
  if (word === "inactive" || word === "memorial") return `the status is ${word}`;
  const since = word === "retiring" && /^\d{4}-\d\d-\d\d$/.test(date) ? Date.parse(date) : Number.NaN;
  return now - since > grace ? `retiring since ${date}, longer than ${grace / day} days` : undefined;
}

/** A fault counts only where no value is without. */
function passwordRule<Name extends Fault["reason"]>(reason: Name, about: string) {
  return {
    reason,
    about,
    objection: ({ passwords }: Person): string | undefined => {
      const faults = passwords.flatMap((one) => (isHash(one) ? [] : [one]));
      return faults.length < passwords.length
        ? undefined
        : faults.find((fault) => fault.reason === reason)?.detail;
    },
  };
}

function dateOf(time: number): string {
  return new Date(time).toISOString().slice(0, 10);
}
