/** Passwords that a person can read aloud, write down and type on a telephone. */

/** Lower case, without the letters that are taken for others or for digits. */
const letters = "abcdefghjkmnpqrstuvwxyz";

/**
 * Four groups of five letters: `khgwb-xtqpr-nvmze-cdaub`, ninety bits. `below(n)` gives an unguessable whole number
 * from 0 to n - 1, such as `randomInt` of node:crypto.
 */
export function makePassphrase(below: (limit: number) => number): string {
  const group = (): string => Array.from({ length: 5 }, () => letters.charAt(below(letters.length))).join("");
  return Array.from({ length: 4 }, group).join("-");
}
