/**
 * Who gives an order. A Unix socket does not tell Node.js who is at its other end, so the command says it of itself;
 * only root, the relay's own user and the socket's group can get as far as that.
 */
import { type Field, is, optional, record } from "../spool/strict-json.ts";

export interface Operator {
  /** Name of the user that the command runs as. */
  readonly name: string;
  readonly uid: number;
  /** Who became that user by sudo. */
  readonly sudoUser?: string;
}

const shortText: Field<string> = is(
  "a name of 64 characters at most",
  (found): found is string => typeof found === "string" && found.length <= 64,
);

export const operator: Field<Operator> = record<Operator>({
  name: shortText,
  uid: is("a number", (found): found is number => Number.isSafeInteger(found)),
  sudoUser: optional(shortText),
});

/** As the log and the envelope have it: `root (uid 0, sudo by user1)`. */
export function nameOperator({ name, uid, sudoUser }: Operator): string {
  return `${name} (uid ${uid}${sudoUser === undefined ? "" : `, sudo by ${sudoUser}`})`;
}
