/** Who may log in with what, by a password file. No disk, no threads. */
import { decoyOf, type LoginTable, type LoginTableFacts, linesOf } from "./login-table.ts";
import {
  canonicalLogin,
  type DisabledLine,
  type EntryLine,
  isEntry,
  loginKey,
  type PasswordLine,
} from "./password-file.ts";
import { longestPassword } from "./scheme.ts";
import { verifyStored } from "./stored.ts";

/** Whether an authentication succeeds: the result of every check here. */
export type AuthenticationResult = Accepted | Rejected | Unavailable;

export interface Accepted {
  readonly kind: "accepted";
  /** The canonical local name: lower case, without a domain. */
  readonly login: string;
  /** The digest of the hash whose password was right (password-names.ts); absent where none was asked for. */
  readonly stored?: string;
}

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

/** Who may log in, by a file that was read whole. */
export interface Logins extends LoginTableFacts {
  /** By canonical login; a login with several lines may use any of their passwords. */
  readonly entries: Pick<ReadonlyMap<string, readonly EntryLine[]>, "get" | "size">;
  /** Why a login without entries is not let in, by canonical login. */
  readonly disabled: Pick<ReadonlyMap<string, string>, "get">;
  /**
   * A line of the commonest scheme and cost. The passwords of unknown logins are checked against it, so that the time
   * of an answer does not reveal which logins exist. Undefined where there are no entries.
   */
  readonly decoy: EntryLine | undefined;
}

export function loginsIn(table: LoginTable, domain: string): Logins {
  const { size, challenges, scramParameters, samples, mixes } = table;
  const of = (login: string): readonly PasswordLine[] => linesOf(table, login, domain);
  return {
    ...{ challenges, scramParameters, samples, mixes },
    entries: {
      size,
      get(login) {
        const entries = of(login).filter(isEntry);
        return entries.length > 0 ? entries : undefined;
      },
    },
    disabled: {
      get: (login) => of(login).findLast((line): line is DisabledLine => !isEntry(line))?.reason,
    },
    decoy: decoyOf(table, domain),
  };
}

/** Why `login`, which has no entries, is not let in; undefined is a login of another domain. */
export function whyDisabled({ disabled }: Logins, login: string | undefined): string {
  return (login === undefined ? undefined : disabled.get(login)) ?? "unknown user";
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
  for (const line of linesFor(lines, name, domain).filter(isEntry))
    if (await verifyStored(line.stored, { password, names })) return line;
  return "wrong password";
}

/** Why no password at all lets a name in; "" where one might. */
export function whyNone(lines: readonly PasswordLine[], name: string, domain: string): string {
  if (domain !== "" && canonicalLogin(name, domain) === undefined) return "the login is of another domain";
  const own = linesFor(lines, name, domain);
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

function linesFor(lines: readonly PasswordLine[], name: string, domain: string): readonly PasswordLine[] {
  const wanted = loginKey(name, domain);
  return lines.filter(({ login }) => loginKey(login, domain) === wanted);
}
