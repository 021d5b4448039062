/** Damage of a spool found and repaired: by its owner at work, or by whoever takes the lock while nobody is. */
import { join } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { type Disk, systemDisk } from "./disk.ts";
import type { Lock } from "./lock.ts";
import { apply, type Finding } from "./remedy.ts";
import { type Keepsake, verify } from "./verify.ts";

export type { Finding, Remedy } from "./remedy.ts";
export { remedyText } from "./remedy.ts";
export type { Keepsake } from "./verify.ts";

export interface Care {
  /** Every damage; `keepsakes` are the files that others keep in the spool. Throws the system's error. */
  damage(keepsakes: readonly Keepsake[]): AsyncIterable<Finding>;
  /** Does what the finding says; false where that is nothing. Throws the system's error. */
  repair(finding: Finding): Promise<boolean>;
}

/** `live` where the relay works on the spool meanwhile: its drafts, and what it lets go, are no damage. */
export function newCare(disk: Disk, directory: string, live: boolean): Care {
  return {
    damage: (keepsakes) => verify(disk, directory, { live, keepsakes }),
    repair: ({ remedy }) => apply(disk, directory, remedy),
  };
}

/**
 * Looks for damage and changes nothing, whoever owns the spool. Where nobody does, it is locked for that while, so that what
 * a crash has left is seen before a start sweeps it.
 * Throws a Failure of one line where `directory` is no spool, not even a damaged one.
 */
export async function careBeside(directory: string, disk: Disk = systemDisk): Promise<Pick<Care, "damage">> {
  await mustBeSpool(disk, directory);
  return {
    async *damage(keepsakes) {
      const lock = await lockIfFree(disk, directory);
      yield* newCare(disk, directory, lock === undefined).damage(keepsakes);
      await lock?.release();
    },
  };
}

/** Undefined where somebody has the lock, or may have it, or where taking it would make a file that is not the owner's. */
async function lockIfFree(disk: Disk, directory: string): Promise<Lock | undefined> {
  if (!(await disk.list(directory)).includes("lock")) return undefined;
  try {
    return await disk.lock(join(directory, "lock"), `process ${String(process.pid)}, which looks for damage`);
  } catch (error) {
    if (error instanceof Failure || errorCode(error) !== "") return undefined;
    throw error;
  }
}

/**
 * Takes the lock of the spool in `directory` and nothing else: no sweep, no upgrade, whatever state it is in. `now` is
 * in milliseconds since the epoch. Throws a Failure of one line: in use (75), no permission (77), not a spool (66).
 */
export async function careFor(
  directory: string,
  now: () => number,
  disk: Disk = systemDisk,
): Promise<Care & { close(): Promise<void> }> {
  await mustBeSpool(disk, directory);
  const note = `process ${String(process.pid)}, which verifies it, since ${new Date(now()).toISOString()}`;
  const lock = await disk.lock(join(directory, "lock"), note).catch((error: unknown) => {
    throw refusal(error, directory);
  });
  return { ...newCare(disk, directory, false), close: () => lock.release() };
}

async function mustBeSpool(disk: Disk, directory: string): Promise<void> {
  try {
    const names = await disk.list(directory);
    if (names.includes("format") || (names.includes("queue") && names.includes("messages"))) return;
  } catch (error) {
    throw refusal(error, directory);
  }
  throw new Failure(exitStatus.noInput, `${directory}: not a spool: it has neither "format" nor "queue"`);
}

function refusal(error: unknown, directory: string): unknown {
  const code = errorCode(error);
  if (code === "" || error instanceof Failure) return error;
  const status = code === "EACCES" || code === "EPERM" ? exitStatus.noPermission : exitStatus.noInput;
  return new Failure(status, `${directory}: the spool cannot be verified: ${errorText(error)}`);
}
