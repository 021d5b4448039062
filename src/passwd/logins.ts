/** Who may log in with what, from the lines of a password file: pure, and built whole before it is used. */
import { canonicalLogin, type EntryLine, isEntry, type PasswordLine, type ShutLine } from "./passwordfile.ts";

export interface Logins {
  /** By canonical login; a login with several lines may use any of their passwords. */
  readonly entries: ReadonlyMap<string, readonly EntryLine[]>;
  /** Why a login without entries is not let in, by canonical login. */
  readonly shut: ReadonlyMap<string, string>;
  readonly ignored: readonly ShutLine[];
  /**
   * A line of the commonest scheme and cost. Whoever is unknown has the password checked against it, for nothing,
   * so that the time of an answer does not tell who exists. Undefined where there are no entries.
   */
  readonly decoy: EntryLine | undefined;
}

export function indexLogins(lines: readonly PasswordLine[], domain: string): Logins {
  const entries = new Map<string, EntryLine[]>();
  const shut = new Map<string, string>();
  const ignored: ShutLine[] = [];
  const costs = new Map<string, { count: number; readonly line: EntryLine }>();

  for (const line of lines) {
    const login = canonicalLogin(line.login, domain);
    if (login === undefined) {
      ignored.push({ number: line.number, login: line.login, reason: "the login is of another domain" });
    } else if (isEntry(line)) {
      entries.set(login, [...(entries.get(login) ?? []), line]);
      const { algorithm, cost } = line.stored.inspection;
      const alike = costs.get(`${algorithm} ${cost}`) ?? { count: 0, line };
      alike.count += 1;
      costs.set(`${algorithm} ${cost}`, alike);
    } else {
      ignored.push(line);
      shut.set(login, line.reason);
    }
  }
  const commonest = [...costs.values()].reduce<{ count: number; line?: EntryLine }>(
    (most, one) => (one.count > most.count ? one : most),
    { count: 0 },
  );
  return { entries, shut, ignored, decoy: commonest.line };
}
