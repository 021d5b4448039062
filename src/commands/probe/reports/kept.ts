/** The file in which reports are kept. One run at a time changes it. */
import { readFile, stat } from "node:fs/promises";
import { dirname } from "node:path";
import { replaceFile } from "../../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";
import { takeFileLock } from "../../../file-lock.ts";
import {
  addedTo,
  emptyStore,
  type ReportStore,
  readStore,
  type StoreAddition,
  writeStore,
} from "../../../probe/reports/store.ts";

/** An empty one where there is no such file. Throws a Failure. */
export async function storeIn(file: string): Promise<ReportStore> {
  try {
    return readStore(await readFile(file, "utf8"));
  } catch (error) {
    if (errorCode(error) === "ENOENT") return emptyStore;
    throw failureOf(file, error);
  }
}

/** Adds what was read and takes away what ended before `before`. Returns the store and how many are new. Throws a Failure. */
export async function keepIn(
  file: string,
  addition: StoreAddition,
  before: number,
): Promise<{ readonly store: ReportStore; readonly added: number }> {
  try {
    const lock = await takeFileLock(file, "probe reports");
    try {
      const result = addedTo(await storeIn(lock.file), addition, before);
      await replaceFile(lock.file, writeStore(result.store), { mode: 0o640, ...(await ownerOf(lock.file)) });
      return result;
    } finally {
      await lock.release();
    }
  } catch (error) {
    throw failureOf(file, error);
  }
}

/** What root writes belongs to who has the folder, as `probe report` reads it as the service's user. */
async function ownerOf(file: string): Promise<{ readonly uid?: number; readonly gid?: number }> {
  if (process.geteuid?.() !== 0) return {};
  const { uid, gid } = await stat(dirname(file));
  return { uid, gid };
}

function failureOf(file: string, error: unknown): unknown {
  if (error instanceof Failure || errorCode(error) === "") return error;
  return new Failure(
    exitStatus.ioError,
    `${file}: the reports cannot be kept: ${errorText(error)}; see --store`,
  );
}
