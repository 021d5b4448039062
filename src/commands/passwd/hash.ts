/** Makes a hash, tests one, lists the schemes: what doveadm pw does. */
import { print as write } from "../../cli/output.ts";
import { exitStatus, Failure, nearest } from "../../failure.ts";
import type { PasswordAttempt } from "../../passwd/scheme.ts";
import { schemes } from "../../passwd/schemes.ts";
import {
  createStored,
  formatStored,
  readSchemeName,
  readStored,
  roundsFor,
  type SchemeName,
  type Stored,
  verifyStored,
} from "../../passwd/stored.ts";
import type { PasswdOptions } from "./options.ts";
import { knownPassword, newPassword } from "./secret.ts";

export interface NewHash {
  /** As it is to be printed or kept. */
  readonly text: string;
  readonly stored: Stored;
  readonly attempt: PasswordAttempt;
  /** The password was generated and not given: it has to be printed, once. */
  readonly generated: boolean;
}

/** Prints a new hash. */
export async function printHash(options: PasswdOptions): Promise<number> {
  const { text, stored, attempt, generated } = await makeHash(options, options.user ?? "", !options.noPrefix);
  if (options.json) {
    const { algorithm, cost, weakness } = stored.inspection;
    const made = generated ? { password: attempt.password } : {};
    return print(
      JSON.stringify({
        hash: text,
        scheme: stored.scheme.name,
        algorithm,
        cost,
        weakness,
        verified: options.reverseVerify,
        ...made,
      }),
    );
  }
  if (generated) tell(`the password, shown only now: ${attempt.password}`);
  return print(options.reverseVerify ? `${text} (verified)` : text);
}

/** Asks for a password and hashes it as the options say; warns where the result is weak. */
export async function makeHash(options: PasswdOptions, user: string, prefix: boolean): Promise<NewHash> {
  const name = schemeNamed(options.scheme);
  const { scheme } = name;
  if (!prefix && !hasBareForm(name)) {
    throw new Failure(
      exitStatus.usage,
      `without its prefix nobody could tell what a hash of ${options.scheme.toUpperCase()} is; leave out --no-prefix`,
    );
  }
  const rounds = options.rounds ?? 0;
  roundsFor(scheme, rounds); // checked before a password is asked for
  if (rounds > 0 && !scheme.rounds) warn(`${scheme.name} has no rounds; -r ${rounds} changes nothing`);
  const { password, generated } = await newPassword(options);
  if (password === "") warn("the password is empty; the relay lets nobody in without a password");
  const attempt = { password, names: [user] };
  const stored = await createStored(scheme, rounds, attempt);
  const { weakness } = stored.inspection;
  if (weakness !== "") warn(`weak: ${weakness}; better are BLF-CRYPT and ARGON2ID`);
  const text = formatStored(name, stored.value, prefix);
  if (/[\r\n]/.test(text))
    throw new Failure(exitStatus.temporary, `the password has a line break; use -s ${scheme.name}.B64`);
  if (options.reverseVerify) await verifyText(text, attempt);
  return { text, stored, attempt, generated };
}

/** A suffix hides what the value begins with. */
export function hasBareForm({ scheme, suffix }: SchemeName): boolean {
  return scheme.bare !== undefined && suffix === "";
}

/** Says whether the password belongs to `hash`. */
export async function testHash(options: PasswdOptions, hash: string): Promise<number> {
  schemeNamed(options.scheme); // an unknown one is an error, although it is not used
  const stored = usable(hash);
  const password = await knownPassword(options, "Enter password to verify: ");
  await verifyText(hash, { password, names: [options.user ?? ""] });
  if (options.json) return print(JSON.stringify({ verified: true, scheme: stored.scheme.name }));
  return print(`${hash.startsWith("{") ? "" : `{${stored.scheme.name}}`}${hash} (verified)`);
}

export function listSchemes(options: PasswdOptions): number {
  if (!options.json) return print(`${schemes.map(({ name }) => name).join(" ")} `); // doveadm ends it so
  return print(
    JSON.stringify(
      schemes.map(({ name, weakness, rounds }) => ({ name, fit: weakness === "", weakness, rounds })),
    ),
  );
}

/** The scheme of a name as it was typed. Throws a Failure (75) where there is none. */
export function schemeNamed(text: string): SchemeName {
  const found = readSchemeName(text);
  if (found) return found;
  const close = nearest(
    text.toUpperCase(),
    schemes.map(({ name }) => name),
  );
  throw new Failure(
    exitStatus.temporary,
    `unknown scheme ${JSON.stringify(text)}; ${close === undefined ? "-l lists them" : `did you mean ${close}?`}`,
  );
}

/** One line of data. */
export function print(text: string): number {
  write(`${text}\n`);
  return exitStatus.ok;
}

/** One line for the person at the terminal. */
export function tell(text: string): void {
  process.stderr.write(`tpa-submit passwd: ${text}\n`);
}

export function warn(text: string): void {
  tell(`warning: ${text}`);
}

function usable(hash: string): Stored {
  const stored = readStored(hash);
  if ("problem" in stored)
    throw new Failure(exitStatus.temporary, `this hash lets nobody in: ${stored.problem}`);
  return stored;
}

async function verifyText(text: string, attempt: PasswordAttempt): Promise<void> {
  if (await verifyStored(usable(text), attempt)) return;
  throw new Failure(exitStatus.temporary, "the password does not belong to this hash");
}
