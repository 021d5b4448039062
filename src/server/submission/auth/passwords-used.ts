/**
 * When each password was last used, and from which network, by the digest of its hash: what `login show` tells. The file
 * is written now and then; man/tpa-submit-spool.5 describes it. It is of no consequence for mail or logins.
 */

/** A password that somebody logged in with. */
export interface PasswordUse {
  /** As the relay calls it. */
  readonly login: string;
  readonly digest: string;
  /** Milliseconds since the epoch, of a whole second. */
  readonly at: number;
  /** `192.0.2.0/24`, or "" where the client has no address. */
  readonly network: string;
}

const title = "tpa-submit passwords-used 1";

/** The text of the file. */
export function formatUses(uses: Iterable<PasswordUse>): string {
  const lines = [...uses].map(
    ({ login, digest, at, network }) =>
      `${JSON.stringify([Math.floor(at / 1_000), login, digest, network])}\n`,
  );
  return `${title}\n${lines.join("")}`;
}

/** Reads what {@link formatUses} wrote, line by line; undefined where it is not such a file. */
export function parseUses(text: string): readonly PasswordUse[] | undefined {
  const [first, ...lines] = text.split("\n");
  return first === title ? lines.flatMap((line) => parseUse(line) ?? []) : undefined;
}

function parseUse(line: string): PasswordUse | undefined {
  if (line === "") return undefined;
  try {
    const value: unknown = JSON.parse(line);
    if (!Array.isArray(value) || value.length !== 4) return undefined;
    const [seconds, login, digest, network] = value as readonly unknown[];
    if (typeof seconds !== "number" || !Number.isSafeInteger(seconds)) return undefined;
    if (typeof login !== "string" || typeof digest !== "string" || typeof network !== "string")
      return undefined;
    return { login, digest, at: seconds * 1_000, network };
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** As many as a large site has; two hundred octets each. What was used longest ago goes first. */
const mostKept = 20_000;

export interface PasswordUses {
  note(use: PasswordUse): void;
  all(): readonly PasswordUse[];
  of(login: string, digest: string): PasswordUse | undefined;
  /** Forgets those that `isThere` does not know. */
  keepOnly(isThere: (use: PasswordUse) => boolean): void;
}

const keyOf = (login: string, digest: string): string => `${login}\n${digest}`;

/** In memory, beginning with `before`. */
export function newPasswordUses(before: readonly PasswordUse[]): PasswordUses {
  const uses = new Map<string, PasswordUse>();
  const note = (use: PasswordUse): void => {
    const key = keyOf(use.login, use.digest);
    uses.delete(key); // what was used last comes last
    uses.set(key, use);
    const [oldest] = uses.keys();
    if (uses.size > mostKept && oldest !== undefined) uses.delete(oldest);
  };
  for (const use of before) note(use);
  return {
    note,
    all: () => [...uses.values()],
    of: (login, digest) => uses.get(keyOf(login, digest)),
    keepOnly(isThere) {
      for (const [key, use] of uses) if (!isThere(use)) uses.delete(key);
    },
  };
}
