/** Who may log in with what, from the lines of a password file. No disk, no threads. */
import {
  canonicalLogin,
  type DisabledLine,
  type EntryLine,
  isEntry,
  loginKey,
  type PasswordLine,
} from "./password-file.ts";
import { leastScramRounds } from "./pbkdf2.ts";
import { type Keys, longestPassword, type ScramDigest } from "./scheme.ts";
import { verifyStored } from "./stored.ts";

/** Whether an authentication succeeds: the result of every check here. */
export type AuthenticationResult =
  /** `login` is the canonical local name: lower case, without a domain. */
  { readonly kind: "accepted"; readonly login: string } | Rejected | Unavailable;

export interface Rejected {
  readonly kind: "rejected";
  /** For the log and never for the client. */
  readonly reason: string;
  /** There is such a login, but nothing the client could send would be right, so this is no guess at its password. */
  readonly cannotSucceed?: true;
}

/** A fault of this program: no file was ever read, too many checks wait, a worker died. 454 to the client. */
export interface Unavailable {
  readonly kind: "unavailable";
  readonly reason: string;
}

export const neverRead: Unavailable = { kind: "unavailable", reason: "no password file could be read yet" };

/** The file's lines by login, built whole before it is used. */
export interface Logins {
  /** By canonical login; a login with several lines may use any of their passwords. */
  readonly entries: ReadonlyMap<string, readonly EntryLine[]>;
  /** Why a login without entries is not let in, by canonical login. */
  readonly disabled: ReadonlyMap<string, string>;
  readonly ignored: readonly DisabledLine[];
  /**
   * A line of the commonest scheme and cost. The passwords of unknown logins are checked against it, so that the time
   * of an answer does not reveal which logins exist. Undefined where there are no entries.
   */
  readonly decoy: EntryLine | undefined;
  /** Those that some login has keys for. */
  readonly challenges: readonly Challenge[];
  /** The parameters that most logins' keys for SCRAM have; without a row no login has such keys. */
  readonly scramParameters: ReadonlyMap<ScramDigest, ScramParameters>;
}

/** Mechanisms that prove the knowledge of a password without sending it. */
export type Challenge = "CRAM-MD5" | "SCRAM-SHA-1" | "SCRAM-SHA-256";

export interface ScramParameters {
  readonly rounds: number;
  /** Of the salt. */
  readonly octets: number;
  /** The keys are made from a cleartext password each time. */
  readonly isDerived: boolean;
}

/** Of the keys that are made from cleartext; rounds and salt as new values of the schemes have them. */
export const derivedParameters: ScramParameters = { rounds: leastScramRounds, octets: 16, isDerived: true };

export function indexLogins(lines: readonly PasswordLine[], domain: string): Logins {
  const entries = new Map<string, EntryLine[]>();
  const disabled = new Map<string, string>();
  const ignored: DisabledLine[] = [];
  const usable: EntryLine[] = [];

  for (const line of lines) {
    const login = canonicalLogin(line.login, domain);
    if (login === undefined) {
      ignored.push({ number: line.number, login: line.login, reason: "the login is of another domain" });
    } else if (isEntry(line)) {
      entries.set(login, [...(entries.get(login) ?? []), line]);
      usable.push(line);
    } else {
      ignored.push(line);
      disabled.set(login, line.reason);
    }
  }
  const decoy = commonest(
    usable,
    ({ stored: { inspection } }) => `${inspection.algorithm} ${inspection.cost}`,
  );
  const keys = usable.flatMap(({ stored }) => stored.inspection.keys ?? []);
  const scramParameters = new Map(
    (["sha1", "sha256"] as const).flatMap((digest) => {
      const parameters = commonest(
        keys.flatMap((one) => parametersFor(digest, one)),
        JSON.stringify,
      );
      return parameters ? [[digest, parameters] as const] : [];
    }),
  );
  const offered: readonly (readonly [Challenge, boolean])[] = [
    ["CRAM-MD5", keys.some(({ kind }) => kind === "cram" || kind === "cleartext")],
    ["SCRAM-SHA-1", scramParameters.has("sha1")],
    ["SCRAM-SHA-256", scramParameters.has("sha256")],
  ];
  const challenges = offered.flatMap(([name, isKnown]) => (isKnown ? [name] : []));
  return { entries, disabled, ignored, decoy, challenges, scramParameters };
}

/** Why `login`, which has no entries, is not let in; undefined is a login of another domain. */
export function whyDisabled({ disabled }: Logins, login: string | undefined): string {
  return (login === undefined ? undefined : disabled.get(login)) ?? "unknown user";
}

function parametersFor(digest: ScramDigest, keys: Keys): readonly ScramParameters[] {
  if (keys.kind === "cleartext") return [derivedParameters];
  if (keys.kind !== digest) return [];
  return [{ rounds: keys.rounds, octets: keys.salt.length, isDerived: false }];
}

/** The first of the items whose `likeness` is the most frequent. */
function commonest<Item>(items: readonly Item[], likeness: (item: Item) => string): Item | undefined {
  const counts = new Map<string, { count: number; readonly item: Item }>();
  for (const item of items) {
    const alike = counts.get(likeness(item)) ?? { count: 0, item };
    alike.count += 1;
    counts.set(likeness(item), alike);
  }
  return [...counts.values()].reduce<{ count: number; item?: Item }>(
    (most, one) => (one.count > most.count ? one : most),
    { count: 0 },
  ).item;
}

/** The line that lets `name` in with `password`, or why none does. `domain` is "" where it is not known. */
export async function authenticate(
  lines: readonly PasswordLine[],
  name: string,
  password: string,
  domain: string,
): Promise<EntryLine | string> {
  const hopeless = whyNone(lines, name, domain) || unfitPassword(password);
  if (hopeless !== "") return hopeless;
  const login = loginKey(name, domain);
  const names = domain === "" ? [login] : [`${login}@${domain}`, login];
  for (const line of linesOf(lines, name, domain).filter(isEntry))
    if (await verifyStored(line.stored, { password, names })) return line;
  return "wrong password";
}

/** Why no password at all lets a name in; "" where one might. */
export function whyNone(lines: readonly PasswordLine[], name: string, domain: string): string {
  if (domain !== "" && canonicalLogin(name, domain) === undefined) return "the login is of another domain";
  const own = linesOf(lines, name, domain);
  if (own.some(isEntry)) return "";
  return (
    own.flatMap((line) => (isEntry(line) ? [] : `line ${line.number}: ${line.reason}`)).join(", ") ||
    "no line"
  );
}

/** Why a password is refused without being checked, or "". */
export function unfitPassword(password: string): string {
  if (password === "") return "empty password"; // RFC 4616 section 2 wants one octet at least
  if (Buffer.byteLength(password) > longestPassword) return "password too long";
  return password.includes("\0") ? "password with a NUL" : "";
}

function linesOf(lines: readonly PasswordLine[], name: string, domain: string): readonly PasswordLine[] {
  const wanted = loginKey(name, domain);
  return lines.filter(({ login }) => loginKey(login, domain) === wanted);
}
