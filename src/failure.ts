/**
 * What an operator can mend: a wrong option, a wrong setting, a port that is taken.
 * Printed as one line without a stack; anything else that is thrown is a bug (docs/architecture.md, "Failures").
 */

/** The exit statuses of sysexits(3) that this program uses; man/tpa-submit.1 lists them. */
export const exitStatus = {
  ok: 0,
  usage: 64,
  data: 65,
  noInput: 66,
  noUser: 67,
  unavailable: 69,
  software: 70,
  cannotCreate: 73,
  ioError: 74,
  temporary: 75,
  noPermission: 77,
  config: 78,
} as const;

export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

/** A mistake or a mishap outside the program. `message` may have several lines, one per mistake. */
export class Failure extends Error {
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Failure";
    this.status = status;
  }
}

/** The system error code ("ENOENT") of something thrown, or "" where it has none. */
export function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** One line about something thrown, for logs and messages. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}

/**
 * The one of `words` that `word` was probably meant to be: at most a third of it mistyped. Undefined where none is.
 */
export function nearest(word: string, words: readonly string[]): string | undefined {
  const allowed = Math.max(1, Math.min(3, Math.floor(word.length / 3)));
  const [best] = words
    .map((candidate) => ({ candidate, distance: editDistance(word, candidate) }))
    .filter(({ distance }) => distance <= allowed)
    .sort((one, other) => one.distance - other.distance);
  return best?.candidate;
}

/** Levenshtein's: how many letters must be put in, left out or changed. */
function editDistance(from: string, to: string): number {
  let row = Array.from({ length: to.length + 1 }, (_, index) => index);
  for (const [line, letter] of from.split("").entries()) {
    const next = [line + 1];
    for (const [index, other] of to.split("").entries()) {
      const changed = (row[index] ?? 0) + (letter === other ? 0 : 1);
      next.push(Math.min(changed, (row[index + 1] ?? 0) + 1, (next[index] ?? 0) + 1));
    }
    row = next;
  }
  return row[to.length] ?? 0;
}
