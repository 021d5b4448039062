/** New stored passwords, within the limits of their schemes. */
import { exitStatus, Failure } from "../failure.ts";
import { type Attempt, longestPassword, type Scheme } from "./scheme.ts";
import type { Stored } from "./stored.ts";

/** Makes a value of `scheme`. `rounds` 0 is its standard. Throws a Failure (75) for what it cannot keep. */
export async function createStored(scheme: Scheme, rounds: number, attempt: Attempt): Promise<Stored> {
  refuseUnfit(scheme, attempt);
  const value = await scheme.generate(attempt, roundsFor(scheme, rounds));
  const inspection = scheme.inspect(value);
  if ("problem" in inspection)
    throw new Error(`${scheme.name} made a value that it refuses: ${inspection.problem}`);
  return { scheme, value, inspection };
}

function refuseUnfit(scheme: Scheme, { password, names }: Attempt): void {
  const octets = Buffer.byteLength(password);
  const longest = Math.min(scheme.longest ?? longestPassword, longestPassword);
  if (octets > longest) {
    throw unfit(
      `${scheme.name} takes passwords of at most ${longest} octets, and this one has ${octets}: ` +
        `choose a shorter one${longest < longestPassword ? ", or another scheme such as ARGON2ID" : ""}`,
    );
  }
  if (password.includes("\0")) throw unfit("the password has a NUL character, which no client can send");
  if (scheme.named === true && (names[0] ?? "") === "")
    throw unfit(`${scheme.name} needs the user's name: -u user@realm`);
}

/** The rounds to use where `asked` were asked for. Throws a Failure (75) outside of the limits. */
export function roundsFor({ name, rounds }: Scheme, asked: number): number {
  if (!rounds) return 0;
  if (asked === 0) return rounds.standard;
  if (asked >= rounds.least && asked <= rounds.most) return asked;
  throw unfit(`${name} takes ${rounds.least} to ${rounds.most} rounds, not ${asked}`);
}

function unfit(reason: string): Failure {
  return new Failure(exitStatus.temporary, reason);
}
