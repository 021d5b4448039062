/**
 * What can be done about damage in a spool, as data, so that whoever found it can ask first, or ask the process that
 * owns the spool. Nothing that a person may want is ever deleted: it is set aside in SPOOL/damaged/.
 */
import { dirname, join } from "node:path";
import { errorCode } from "../../failure.ts";
import type { Disk } from "./disk.ts";
import { writeFormat } from "./format.ts";
import { syncOnce, unlinkIfThere } from "./promise.ts";

/** Files are named from the spool's folder: "queue/1A203997B800". */
export type Remedy =
  | { readonly do: "nothing"; readonly because: string }
  | { readonly do: "set aside"; readonly files: readonly string[] }
  | { readonly do: "remove"; readonly file: string }
  | { readonly do: "set mode"; readonly file: string; readonly mode: number }
  | { readonly do: "set owner"; readonly file: string; readonly uid: number; readonly gid: number }
  | { readonly do: "write format" };

/** One damage: a line that names the file, what was expected and what was found, and what can be done. */
export interface Finding {
  readonly fault: string;
  readonly remedy: Remedy;
}

/** In words, to stand behind "repair would " or "repaired: ". */
export function remedyText(remedy: Remedy): string {
  switch (remedy.do) {
    case "nothing":
      return `leave it: ${remedy.because}`;
    case "set aside":
      return `set ${remedy.files.join(" and ")} aside in damaged/`;
    case "remove":
      return `remove ${remedy.file}`;
    case "set mode":
      return `set the mode of ${remedy.file} to ${octal(remedy.mode)}`;
    case "set owner":
      return `give ${remedy.file} to user ${String(remedy.uid)} and group ${String(remedy.gid)}`;
    case "write format":
      return "write format anew";
  }
}

/** As people write modes: "0600". */
export const octal = (mode: number): string => mode.toString(8).padStart(4, "0");

/**
 * Does it; durable when it resolves. False where there was nothing to do. May be done again after a crash. Throws the
 * system's error.
 */
export async function apply(disk: Disk, directory: string, remedy: Remedy): Promise<boolean> {
  const path = (file: string): string => join(directory, file);
  switch (remedy.do) {
    case "nothing":
      return false;
    case "set aside":
      await setAside(disk, directory, remedy.files);
      return true;
    case "remove":
      await unlinkIfThere(disk, path(remedy.file));
      return true;
    case "set mode":
      await disk.chmod(path(remedy.file), remedy.mode);
      return true;
    case "set owner":
      await disk.chown(path(remedy.file), remedy.uid, remedy.gid);
      return true;
    case "write format":
      await writeFormat(disk, directory);
      await giveToOwner(disk, directory, path("format"));
      await syncOnce(disk, directory);
      return true;
  }
}

/**
 * Moves files, the envelope first, into damaged/. All of them have their second name on disk before the first one loses
 * its old name: a crash leaves a file under both, never under none, and never a body for the sweep to find alone.
 */
async function setAside(disk: Disk, directory: string, files: readonly string[]): Promise<void> {
  const damaged = join(directory, "damaged");
  if (await disk.makeDirectory(damaged)) await giveToOwner(disk, directory, damaged);
  await syncOnce(disk, directory);
  for (const file of files)
    await linkAnew(disk, join(directory, file), join(damaged, file.replace("/", "-")));
  await syncOnce(disk, damaged);
  for (const file of files) {
    const path = join(directory, file);
    await disk.unlink(path); // from here on it is out of the queue
    await syncOnce(disk, dirname(path));
  }
}

/** What root makes here must be the relay's: it could not read it otherwise. */
async function giveToOwner(disk: Disk, directory: string, path: string): Promise<void> {
  const { uid, gid } = await disk.look(directory);
  await disk.chown(path, uid, gid);
}

/** Names that are tried where something was set aside under this one before. Our choice. */
const mostTries = 1000;

async function linkAnew(disk: Disk, from: string, to: string): Promise<void> {
  for (let count = 1; ; count += 1) {
    try {
      await disk.link(from, count === 1 ? to : `${to}.${String(count)}`);
      return;
    } catch (error) {
      if (errorCode(error) !== "EEXIST" || count === mostTries) throw error;
    }
  }
}
