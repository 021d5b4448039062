/** Where the journal of systemd is, and whether a stream of the process leads to it. */
import { fstatSync } from "node:fs";

/** The folder of its sockets. */
export const journalFolder = "/run/systemd/journal";

/** What tells one file, pipe or socket from all others. */
export interface FileIdentity {
  readonly device: bigint;
  readonly inode: bigint;
  readonly isSocket: boolean;
}

/** Standard output and standard error; undefined where it is closed. */
export interface StandardStreams {
  readonly output: FileIdentity | undefined;
  readonly error: FileIdentity | undefined;
}

/**
 * Which of them lead to the journal. systemd.exec(5): $JOURNAL_STREAM has device and inode of the stream; where the two
 * have connections of their own, those of standard error. A variable that was inherited names neither.
 */
export function journalAmong(
  { output, error }: StandardStreams,
  journalStream: string | undefined,
): { readonly output: boolean; readonly error: boolean } {
  const isNamed = (file: FileIdentity | undefined): boolean =>
    file !== undefined && journalStream === `${file.device}:${file.inode}`;
  return { output: isNamed(output) || (isNamed(error) && output?.isSocket === true), error: isNamed(error) };
}

/** The same of this process. */
export const journalOfProcess = (): ReturnType<typeof journalAmong> =>
  journalAmong({ output: identityOf(1), error: identityOf(2) }, process.env["JOURNAL_STREAM"]);

function identityOf(descriptor: number): FileIdentity | undefined {
  try {
    const stat = fstatSync(descriptor, { bigint: true });
    return { device: stat.dev, inode: stat.ino, isSocket: stat.isSocket() };
  } catch {
    return undefined; // closed: it leads nowhere
  }
}
