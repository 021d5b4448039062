/** Who may log in with what, from the lines of a password file: pure, and built whole before it is used. */
import { leastScramRounds } from "./derived.ts";
import { canonicalLogin, type EntryLine, isEntry, type PasswordLine, type ShutLine } from "./passwordfile.ts";
import type { Keys, ScramDigest } from "./scheme.ts";

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
  /** Those that somebody has keys for. */
  readonly challenges: readonly Challenge[];
  /** How the keys for SCRAM look that most logins have; without a row nobody has any. */
  readonly shapes: ReadonlyMap<ScramDigest, Shape>;
}

/** Mechanisms that show the knowledge of a password without saying it. */
export type Challenge = "CRAM-MD5" | "SCRAM-SHA-1" | "SCRAM-SHA-256";

export interface Shape {
  readonly rounds: number;
  /** Of the salt. */
  readonly octets: number;
  /** The keys are made from a cleartext password each time. */
  readonly isDerived: boolean;
}

/** Of the keys that are made from cleartext; rounds and salt as new values of the schemes have them. */
export const derivedShape: Shape = { rounds: leastScramRounds, octets: 16, isDerived: true };

export function indexLogins(lines: readonly PasswordLine[], domain: string): Logins {
  const entries = new Map<string, EntryLine[]>();
  const shut = new Map<string, string>();
  const ignored: ShutLine[] = [];
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
      shut.set(login, line.reason);
    }
  }
  const decoy = commonest(
    usable,
    ({ stored: { inspection } }) => `${inspection.algorithm} ${inspection.cost}`,
  );
  const keys = usable.flatMap(({ stored }) => stored.inspection.keys ?? []);
  const shapes = new Map(
    (["sha1", "sha256"] as const).flatMap((digest) => {
      const shape = commonest(
        keys.flatMap((one) => shapeFor(digest, one)),
        JSON.stringify,
      );
      return shape ? [[digest, shape] as const] : [];
    }),
  );
  const offered: readonly (readonly [Challenge, boolean])[] = [
    ["CRAM-MD5", keys.some(({ kind }) => kind === "cram" || kind === "cleartext")],
    ["SCRAM-SHA-1", shapes.has("sha1")],
    ["SCRAM-SHA-256", shapes.has("sha256")],
  ];
  const challenges = offered.flatMap(([name, isKnown]) => (isKnown ? [name] : []));
  return { entries, shut, ignored, decoy, challenges, shapes };
}

/** Why nobody gets in as `login`, who has no entries; undefined is a login of another domain. */
export function whyShut({ shut }: Logins, login: string | undefined): string {
  return (login === undefined ? undefined : shut.get(login)) ?? "unknown user";
}

function shapeFor(digest: ScramDigest, keys: Keys): readonly Shape[] {
  if (keys.kind === "cleartext") return [derivedShape];
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
