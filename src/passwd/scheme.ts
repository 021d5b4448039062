/** What a scheme is: one way of keeping a password. The rows are in schemes.ts. */

/** Octets. A longer password is neither checked nor kept: hashing it would cost more than it is worth. */
export const longestPassword = 1024;

/** Somebody who says a password. */
export interface Attempt {
  readonly password: string;
  /** The names that the login may go by, for schemes that mix the name in: `user1@example.org`, `user1`. */
  readonly names: readonly string[];
}

/** What a stored value turns out to be. `problem` is why it can let nobody in. */
export type Inspection =
  | {
      readonly sound: true;
      /** The algorithm that made it, which {CRYPT} leaves open: `BLF-CRYPT`. */
      readonly algorithm: string;
      /** What one check costs, in the scheme's own measure: `cost 10`, `5000 rounds`; "" where it has none. */
      readonly cost: string;
      /** Why it should be replaced; "" where it is fit for use. */
      readonly weakness: string;
    }
  | { readonly sound: false; readonly problem: string };

/** The work factor of a scheme. More than `most` is refused in stored values too: it would stall the relay. */
export interface Rounds {
  readonly least: number;
  readonly most: number;
  readonly standard: number;
}

export interface Scheme {
  /** As Dovecot names it, upper case. */
  readonly name: string;
  /** Why it is not fit for new passwords; "" where it is. */
  readonly weakness: string;
  /** How its value is written when no suffix says otherwise. Digests of `octets` are read in hex and in base64. */
  readonly form: "text" | "hex" | "base64";
  readonly octets?: number;
  readonly rounds?: Rounds;
  /** Octets of a password that it takes in; a longer one would be cut, so it is refused for new values. */
  readonly longest?: number;
  /** What its values begin with, where they need no prefix to be known for what they are. */
  readonly bare?: string;
  /** The value depends on the user's name. */
  readonly named?: boolean;
  readonly inspect: (value: Buffer) => Inspection;
  /** Called for values that {@link inspect} found sound; anything else gives false. */
  readonly verify: (value: Buffer, attempt: Attempt) => boolean | Promise<boolean>;
  /** A new value; `rounds` is within the limits, and 0 where there are none. */
  readonly generate: (attempt: Attempt, rounds: number) => Buffer | Promise<Buffer>;
}

/** A value that is fit for use. */
export function sound(algorithm: string, cost = "", weakness = ""): Inspection {
  return { sound: true, algorithm, cost, weakness };
}

/** A value that can let nobody in. */
export function unsound(problem: string): Inspection {
  return { sound: false, problem };
}

/** The problem of a work factor outside the limits, or undefined. */
export function outside(rounds: Rounds, value: number, what: string): Inspection | undefined {
  if (value > rounds.most) return unsound(`${what} ${value} is more than the ${rounds.most} allowed`);
  return value < rounds.least
    ? unsound(`${what} ${value} is less than the ${rounds.least} needed`)
    : undefined;
}
