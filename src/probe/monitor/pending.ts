/**
 * The probes that are under way, a small file each, so that a later run knows what to look for: no run waits for late
 * mail, and lost mail is reported all the same. The file of a probe that has ended is removed, and who removes it
 * reports.
 */
import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

export interface PendingProbe {
  /** As in the mark. */
  readonly id: string;
  readonly at: number;
  readonly route: string;
  readonly from: string;
  readonly to: string;
  /** Milliseconds that the submission took. */
  readonly submitted: number;
}

export interface PendingFolder {
  add(pending: PendingProbe): Promise<void>;
  /** All of `route`, the oldest first. Files that are not understood are skipped. */
  of(route: string): Promise<readonly PendingProbe[]>;
  /** Whether it was there, and is ours to report: another run may have been faster. */
  remove(id: string): Promise<boolean>;
}

/** Opens the folder, and makes it where it is missing. Throws a Failure. */
export async function openPending(folder: string): Promise<PendingFolder> {
  const file = (id: string): string => join(folder, `${id}.json`);

  async function guarded<Value>(work: () => Promise<Value>): Promise<Value> {
    try {
      return await work();
    } catch (error) {
      if (errorCode(error) === "") throw error;
      throw new Failure(
        exitStatus.ioError,
        `${folder}: probes under way cannot be noted: ${errorText(error)}`,
      );
    }
  }

  await guarded(() => mkdir(folder, { recursive: true, mode: 0o750 }));

  return {
    add: (pending) =>
      guarded(() => replaceFile(file(pending.id), `${JSON.stringify(pending)}\n`, { mode: 0o640 })),
    of: (route) =>
      guarded(async () => {
        const names = (await readdir(folder)).filter((name) => /^[0-9a-f]{32}\.json$/.test(name));
        const all = await Promise.all(names.map((name) => readPending(join(folder, name))));
        return all
          .filter((one) => one !== undefined)
          .filter((one) => one.route === route)
          .sort((one, other) => one.at - other.at);
      }),
    remove: (id) =>
      guarded(async () => {
        try {
          await unlink(file(id));
          return true;
        } catch (error) {
          if (errorCode(error) === "ENOENT") return false;
          throw error;
        }
      }),
  };
}

async function readPending(path: string): Promise<PendingProbe | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined; // another run was faster
    throw error;
  }
  let found: unknown;
  try {
    found = JSON.parse(text);
  } catch {
    return undefined; // not ours
  }
  return isPending(found) ? found : undefined;
}

function isPending(found: unknown): found is PendingProbe {
  if (typeof found !== "object" || found === null) return false;
  const { id, at, route, from, to, submitted } = found as Partial<Record<keyof PendingProbe, unknown>>;
  return (
    [id, route, from, to].every((text) => typeof text === "string") && [at, submitted].every(Number.isFinite)
  );
}
