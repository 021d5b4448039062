/**
 * Who may log in: an entry of the directory becomes an account, or a named reason why not.
 * The rules are userdir-ldap's for mail, a row each; man/tpa-submit-sync.8, REASONS, lists them and a test compares.
 */

import { type PasswordValue, readPasswordValue } from "../passwd/named-value.ts";
import { readStored, type Stored } from "../passwd/stored.ts";
import type { SshKey } from "../ssh/key-file.ts";
import { type LdapEntry, quoted, textsOf, valuesOf } from "./directory.ts";
import { type EntryKeys, keysOf, sharedKeys } from "./keys.ts";

/** The settings that decide, as `[ldap]` and `[sync]` name them; an attribute "" turns its rule off. */
export interface RuleSettings {
  readonly "login-attribute": string;
  readonly "password-attribute": string;
  readonly "lock-attribute": string;
  readonly "status-attribute": string;
  readonly "group-attribute": string;
  readonly "expiry-attribute": string;
  readonly "sender-attribute": string;
  readonly "ssh-key-attribute": string;
  readonly format: FileFormat;
  readonly guests: boolean;
  readonly "guest-group": string;
  /** Milliseconds. */
  readonly "retiring-for": number;
}

export interface LdapAccount {
  readonly login: string;
  /** As the directory wrote it. */
  readonly dn: string;
  /** At least one; each of them lets the user in. In the directory's order. */
  readonly hashes: readonly Hash[];
}

export interface Exclusion {
  /** Both can be printed; the login may be "". */
  readonly login: string;
  readonly dn: string;
  readonly reason: Reason;
  /** For people to read. Never contains a hash. */
  readonly detail: string;
}

/** An entry, with each value of its password attribute judged. */
export interface JudgedEntry {
  readonly entry: LdapEntry;
  readonly passwords: readonly (Hash | Fault)[];
}

/** One rule about one entry: what must be true, and the objection where it is not. */
export interface Rule {
  readonly reason: string;
  readonly about: string;
  readonly objection: (judgedEntry: JudgedEntry, settings: RuleSettings, now: number) => string | undefined;
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
      return `${attribute} ${quoted(login ?? "")} is no login`;
    },
  },
  {
    // Dovecot lowers what a client says and not what stands in the file; two that differ in case would be one.
    reason: "upper-case",
    about: "a login without capital letters",
    objection: ({ entry }, { "login-attribute": attribute }) => {
      const capital = textsOf(entry, attribute).find((login) => login !== login.toLowerCase());
      return capital === undefined ? undefined : `${attribute} ${quoted(capital)} has capital letters`;
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
      !guests && textsOf(entry, attribute).includes(group) ? `${attribute} has ${quoted(group)}` : undefined,
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

/** Reasons that need the other entries or the file: {@link collectAccounts}, contents.ts. */
export const otherReasons = {
  duplicate: "another entry has the same login",
  filtered: "there is an entry, but the filter does not want it",
  absent: "there is no entry that the filter finds",
} as const;

export type Reason = (typeof rules)[number]["reason"] | keyof typeof otherReasons;

/** Judges one entry at the time `now` (milliseconds since the epoch). */
export function judge(entry: LdapEntry, settings: RuleSettings, now: number): LdapAccount | Exclusion {
  const login = loginOf(entry, settings);
  const judgedEntry = judgePasswords(entry, settings);
  for (const { reason, objection } of rules) {
    const detail = objection(judgedEntry, settings, now);
    if (detail !== undefined) return { login: quoted(login, ""), dn: quoted(entry.dn, ""), reason, detail };
  }
  return { login, dn: entry.dn, hashes: hashesOf(judgedEntry) };
}

/** Rules that say nothing against a key: who has no mail password, or a bad one, may have keys just because of that. */
const sparedByKeys: readonly Reason[] = [
  "no-password",
  "password-empty",
  "password-characters",
  "password-damaged",
];

/** Why the keys of an entry do not count, or undefined. A mail password that is locked locks them, too. */
export function keyObjection(
  judgedEntry: JudgedEntry,
  settings: RuleSettings,
  now: number,
): string | undefined {
  for (const { reason, objection } of rules) {
    if (!sparedByKeys.includes(reason) && objection(judgedEntry, settings, now) !== undefined) return reason;
  }
  return undefined;
}

/** Judges the passwords of an entry. */
export function judgePasswords(entry: LdapEntry, settings: RuleSettings): JudgedEntry {
  const values = valuesOf(entry, settings["password-attribute"]);
  return { entry, passwords: values.map((value) => judgeHash(value, settings.format)) };
}

/** Whether it is an account. */
export function isAccount(judged: LdapAccount | Exclusion): judged is LdapAccount {
  return "hashes" in judged;
}

/** The hashes that let somebody in. */
export function hashesOf({ passwords }: JudgedEntry): readonly Hash[] {
  return passwords.filter(isHash);
}

/** The attributes that the rules look at. */
export function attributesOf(settings: RuleSettings): readonly string[] {
  const names = Object.entries(settings).filter(([setting]) => setting.endsWith("-attribute"));
  return [...new Set(names.map(([, name]) => String(name)).filter((name) => name !== ""))];
}

/** The first login of an entry, in small letters; "" where there is none. */
export function loginOf(entry: LdapEntry, settings: RuleSettings): string {
  return textsOf(entry, settings["login-attribute"])[0]?.toLowerCase() ?? "";
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
    objection: ({ passwords }: JudgedEntry): string | undefined => {
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

/** What the file is made for: `serve` takes several lines for a login, Dovecot only the first, and not every scheme. */
export type FileFormat = "plain" | "dovecot";

export interface Hash {
  /** As it stands in the file. Never printed. */
  readonly text: string;
  /** The algorithm that made it, as Dovecot names it. */
  readonly scheme: string;
  /** Of one of several passwords, where it has a name: that, and when it was made, in milliseconds since the epoch. */
  readonly named?: { readonly name: string; readonly made: number };
}

/** Why a value lets nobody in. `detail` never contains the value. */
export interface Fault {
  readonly reason: "password-empty" | "password-characters" | "password-locked" | "password-damaged";
  readonly detail: string;
}

/** Octets. Hashes are much shorter; a longer value is none. */
const longestValue = 1024;

/** Octets that end a line or a field, or that no scheme uses: only printable ASCII without blank and colon is left. */
const nameOfOctet: Readonly<Record<number, string>> = {
  0: "a NUL",
  9: "a tab",
  10: "a line break",
  13: "a carriage return",
  32: "a blank",
  58: "a colon",
};

/** Judges one value, as the directory sent it: in the file, a colon or a line break would mean something. */
export function judgeHash(value: Buffer, format: FileFormat): Hash | Fault {
  if (value.length === 0) return { reason: "password-empty", detail: "the value is empty" };
  if (value.length > longestValue) {
    return { reason: "password-damaged", detail: `${value.length} octets are more than any hash has` };
  }
  const { hash: text, ...named } = readPasswordValue(value.toString("latin1"));
  const odd = Buffer.from(text, "latin1").find((octet) => octet <= 32 || octet >= 127 || octet === 58);
  if (odd !== undefined) {
    const what = nameOfOctet[odd] ?? (odd < 127 ? "a control character" : "an octet that is not ASCII");
    return { reason: "password-characters", detail: `the value has ${what}` };
  }
  const stored = readStored(text);
  if ("problem" in stored) {
    const reason = stored.problem === "locked" ? "password-locked" : "password-damaged";
    return { reason, detail: stored.problem };
  }
  const hash =
    format === "dovecot" ? forDovecot(text, stored) : { text, scheme: stored.inspection.algorithm };
  return isHash(hash) ? { ...hash, ...nameIn(named) } : hash;
}

const nameIn = ({ name, made }: Omit<PasswordValue, "hash">): Pick<Hash, "named"> =>
  name === undefined || made === undefined ? {} : { named: { name, made } };

/** Whether it is a hash. */
export function isHash(judged: Hash | Fault): judged is Hash {
  return "text" in judged;
}

/** What libc's crypt(3) knows, to which Dovecot hands a text without {SCHEME}. */
const ofLibc: readonly string[] = ["MD5-CRYPT", "BLF-CRYPT", "SHA256-CRYPT", "SHA512-CRYPT", "DES-CRYPT"];

function forDovecot(text: string, { scheme, inspection: { algorithm } }: Stored): Hash | Fault {
  if (algorithm === "APR1") return { reason: "password-damaged", detail: "Dovecot cannot check APR1" };
  const known = text.startsWith("{") || ofLibc.includes(algorithm);
  return { text: known ? text : `{${scheme.name}}${text}`, scheme: algorithm };
}

/** All entries of a search taken together: who has an account, who has none and why. */
export interface CollectedAccounts {
  /** Entries that the filter let through. */
  readonly entries: number;
  /** By login. */
  readonly accounts: ReadonlyMap<string, LdapAccount>;
  readonly exclusions: readonly Exclusion[];
  /** Sender addresses of the accounts: the logins that each address is given to. Empty where none were asked for. */
  readonly senders: ReadonlyMap<string, ReadonlySet<string>>;
  /** Of everybody who may have keys, also without a mail password. Empty where none were asked for. */
  readonly keys: readonly SshKey[];
  /** Values that were ignored although their entry counts; for the log. */
  readonly remarks: readonly string[];
}

export interface AccountCollector {
  add(entry: LdapEntry): void;
  result(): CollectedAccounts;
}

/** Takes the entries one by one and judges them at the time `now`. */
export function collectAccounts(settings: RuleSettings, now: number): AccountCollector {
  const judged: { readonly login: string; readonly one: LdapAccount | Exclusion }[] = [];
  const claims = new Map<string, number>(); // entries that have a login, also beside others, in any case
  const addresses = new Map<string, readonly string[]>(); // by login
  const keys = new Map<string, EntryKeys>(); // by login
  const keyAttribute = settings["ssh-key-attribute"];
  return {
    add(entry) {
      const one = judge(entry, settings, now);
      const login = loginOf(entry, settings);
      judged.push({ login, one });
      for (const name of loginsOf(entry, settings)) claims.set(name, (claims.get(name) ?? 0) + 1);
      if (isAccount(one) && settings["sender-attribute"] !== "") {
        addresses.set(login, textsOf(entry, settings["sender-attribute"]));
      }
      if (keyAttribute !== "" && keyObjection(judgePasswords(entry, settings), settings, now) === undefined) {
        keys.set(login, keysOf(entry, keyAttribute, login));
      }
    },
    result() {
      const accounts = new Map<string, LdapAccount>();
      const exclusions: Exclusion[] = [];
      for (const { login, one } of judged) {
        const count = claims.get(login) ?? 0;
        if (!isAccount(one) && one.reason === "no-login") exclusions.push(one);
        else if (count > 1) exclusions.push(duplicate(login, one, count));
        else if (isAccount(one)) accounts.set(login, one);
        else exclusions.push(one);
      }
      const { senders, remarks } = senderAddresses(accounts, addresses);
      const single = [...keys].filter(([login]) => claims.get(login) === 1);
      const collected = collectKeys(new Map(single));
      return {
        entries: judged.length,
        accounts,
        exclusions,
        senders,
        keys: collected.keys,
        remarks: [...remarks, ...collected.remarks],
      };
    },
  };
}

/** The keys of all, and remarks about those that do not count. */
function collectKeys(found: ReadonlyMap<string, EntryKeys>) {
  const keys = [...found.values()].flatMap((one) => one.keys);
  const faults = [...found].flatMap(([login, one]) => one.faults.map((fault) => `${login}: ${fault}`));
  return { keys, remarks: [...faults, ...sharedKeys(keys)] };
}

function loginsOf(entry: LdapEntry, settings: RuleSettings): ReadonlySet<string> {
  return new Set(textsOf(entry, settings["login-attribute"]).map((login) => login.toLowerCase()));
}

/** It is not known which of them is meant, so none may log in. */
function duplicate(login: string, one: LdapAccount | Exclusion, count: number): Exclusion {
  const dn = isAccount(one) ? quoted(one.dn, "") : one.dn;
  return { login: quoted(login, ""), dn, reason: "duplicate", detail: `${count} entries have this login` };
}

function senderAddresses(
  accounts: ReadonlyMap<string, LdapAccount>,
  addresses: ReadonlyMap<string, readonly string[]>,
) {
  const senders = new Map<string, Set<string>>();
  const remarks: string[] = [];
  for (const [login, given] of addresses) {
    if (!accounts.has(login)) continue;
    for (const address of given) {
      if (!mailbox.test(address)) {
        remarks.push(`${login}: ${quoted(address)} is no address to send as`);
        continue;
      }
      const key = address.toLowerCase();
      senders.set(key, (senders.get(key) ?? new Set()).add(login));
    }
  }
  return { senders, remarks };
}

const atom = "[a-z0-9!#$%&'*+/=?^_`{|}~-]+";
const label = "[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?";

/**
 * RFC 5321 section 4.1.2, Dot-string "@" Domain, with the lengths of section 4.5.3.1 and RFC 1035 section 2.3.4, but
 * for a leading "#", which begins a comment in the file of aliases. `serve` would refuse that file for one bad line.
 */
const mailbox = new RegExp(
  `^(?!#)(?=.{1,64}@)(?=.{1,254}$)${atom}(?:\\.${atom})*@(?:${label}\\.)+${label}$`,
  "i",
);
