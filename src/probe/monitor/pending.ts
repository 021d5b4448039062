/**
 * The probes that are under way, a small file each, so that a later run knows what to look for: mail that is late is not
 * waited for, and mail that is lost is still told of. A file goes when its probe has come to its end; whoever removes it tells.
 */
import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { join } from "node:path";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

export interface Pending {
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
  add(pending: Pending): Promise<void>;
  /** All of `route`, the oldest first. What is not understood is passed over. */
  of(route: string): Promise<readonly Pending[]>;
  /** Whether it was there, and is ours to tell of: another run may have been faster. */
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

async function readPending(path: string): Promise<Pending | undefined> {
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

function isPending(found: unknown): found is Pending {
  if (typeof found !== "object" || found === null) return false;
  const { id, at, route, from, to, submitted } = found as Partial<Record<keyof Pending, unknown>>;
  return (
    [id, route, from, to].every((text) => typeof text === "string") && [at, submitted].every(Number.isFinite)
  );
}
