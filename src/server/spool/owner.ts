/**
 * SPOOL/owner: whose spool this is, and whether its messages were given to another. A copy that is started would deliver
 * everything a second time; this file is what a start sees of that. It is written in one step, under the lock of the spool.
 */
import { randomBytes } from "node:crypto";
import { join } from "node:path";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { syncOnce, writeDraft } from "./commit.ts";
import type { Disk } from "./disk.ts";
import { time } from "./envelope-file.ts";
import { is, type JsonField, Mismatch, optional, record } from "./strict-json.ts";

/** A spool and the host that has it. */
export interface SpoolOwner {
  /** 32 hexadecimal digits, drawn when the spool was first used: a copy has the same. */
  readonly id: string;
  /** `hostname` of the relay that used it last: a container has no other name that stays. */
  readonly host: string;
  /** Its messages belong to another spool from here on. */
  readonly taken?: Taken;
}

/** To whom the messages of a spool go. */
export interface Taken {
  /** Of this taking over: 32 hexadecimal digits, under which the other spool notes what it has. */
  readonly handover: string;
  /** The other spool, and its host. */
  readonly spool: string;
  readonly host: string;
  /** Milliseconds since the epoch. */
  readonly at: number;
}

/** A mark of 32 hexadecimal digits that nobody has drawn before. */
export const newMark = (): string => randomBytes(16).toString("hex");

export const isMark = (text: string): boolean => /^[0-9a-f]{32}$/.test(text);

export const mark: JsonField<string> = is(
  "32 hexadecimal digits",
  (found): found is string => typeof found === "string" && isMark(found),
);
/** For a line of the log. */
export const hostName: JsonField<string> = is(
  "a host's name",
  (found): found is string => typeof found === "string" && /^[!-~]{1,255}$/.test(found),
);

const ownerField = record<SpoolOwner>({
  id: mark,
  host: hostName,
  taken: optional(record<Taken>({ handover: mark, spool: mark, host: hostName, at: time })),
});

const fileName = "owner";

/** Undefined where a spool has none yet. Throws a Failure where it cannot be read or understood. */
export async function readOwner(disk: Disk, directory: string): Promise<SpoolOwner | undefined> {
  const path = join(directory, fileName);
  try {
    return ownerField.read(JSON.parse(await disk.readText(path)), "");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined;
    if (error instanceof Mismatch || error instanceof SyntaxError) {
      throw new Failure(
        exitStatus.data,
        `${path}: ${ownerFault(error)}; whose spool this is cannot be told: remove the file if no other host has its messages`,
      );
    }
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.ioError, `${path}: cannot be read: ${errorText(error)}`);
  }
}

const ownerFault = (error: unknown): string => (error instanceof Mismatch ? error.message : "expected JSON");

/** What is wrong with the file's text, in one line, or undefined. */
export function faultOfOwner(text: string): string | undefined {
  try {
    ownerField.read(JSON.parse(text), "");
    return undefined;
  } catch (error) {
    if (error instanceof Mismatch || error instanceof SyntaxError) return ownerFault(error);
    throw error;
  }
}

/** Durable when it resolves. For who has the lock. Throws the system's error. */
export async function writeOwner(disk: Disk, directory: string, owner: SpoolOwner): Promise<void> {
  const draft = join(directory, ".owner.new");
  await writeDraft(disk, draft, `${JSON.stringify(ownerField.write(owner, ""))}\n`);
  await disk.rename(draft, join(directory, fileName));
  await syncOnce(disk, directory);
}

/**
 * Makes the spool that of `host`, which is about to deliver from it. `waiting` tells how many messages it holds. Throws a
 * Failure of one line where its messages are another's, or may be: what to do is up to a person.
 */
export async function claimSpool(
  disk: Disk,
  directory: string,
  host: string,
  waiting: () => Promise<number>,
): Promise<SpoolOwner> {
  const found = await readOwner(disk, directory);
  const path = join(directory, fileName);
  if (found?.taken !== undefined) throw takenFailure(directory, found.taken);
  if (found?.host === host) return found;
  const count = found === undefined ? 0 : await waiting();
  if (found !== undefined && count > 0) {
    throw new Failure(
      exitStatus.data,
      `${directory}: ${found.host} used this spool last, this is ${host}, and what waits in it (messages: ${String(count)}) is ` +
        `delivered twice if that host has it too; if it has not, remove ${path} and start again`,
    );
  }
  const owner = { id: found?.id ?? newMark(), host };
  try {
    await writeOwner(disk, directory, owner);
  } catch (error) {
    // A full disk keeps nobody from delivering what is there: the next start writes it.
    if (!["ENOSPC", "EDQUOT"].includes(errorCode(error))) throw error;
  }
  return owner;
}

/**
 * The same for the folder of a host whose messages are in a database. That they were taken is for the caller to judge: they may
 * have gone to that database.
 */
export async function claimFolder(
  disk: Disk,
  directory: string,
  host: string,
  waiting: () => Promise<number>,
): Promise<SpoolOwner> {
  const found = await readOwner(disk, directory);
  return found?.taken === undefined ? claimSpool(disk, directory, host, waiting) : found;
}

export function takenFailure(directory: string, { host, at }: Taken): Failure {
  const whom = host.includes("://") ? host : `the host ${host}`; // a database is called by its URL
  return new Failure(
    exitStatus.data,
    `${directory}: the messages of this spool were taken over by ${whom} at ${time.write(at, "") as string}, and would be ` +
      `delivered twice; name an empty folder in [spool], or remove ${join(directory, fileName)} if that host never delivers them`,
  );
}
