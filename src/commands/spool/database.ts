/** The database that `spool.store` names, for the commands that work on it. What it needs is loaded only when there is one. */
import type { Config } from "../../config/settings.ts";
import { exitStatus, Failure } from "../../failure.ts";
import type { WordsAs } from "../../postgres/as-user.ts";
import type { Database } from "../../postgres/database.ts";

/** Throws a Failure of one line where none is named, or it is not there. */
export async function openStore(config: Config): Promise<Database> {
  const { spool, hostname } = config;
  if (spool.store === "") {
    throw new Failure(
      exitStatus.config,
      "store of [spool] names no database: the spool is the folder of spool.directory",
    );
  }
  const { openDatabase } = await import("../../postgres/database.ts");
  const { storeAccess } = await import("../../postgres/settings.ts");
  return openDatabase({ ...(await storeAccess(spool)), asService: () => asService(config) }, hostname);
}

/** For root, where the service has another user. */
async function asService(config: Config): Promise<WordsAs | undefined> {
  if (process.geteuid?.() !== 0) return undefined;
  const { serviceUser } = await import("../check/service-user.ts");
  const { wordsAs } = await import("../system-user.ts");
  const user = await serviceUser(config, undefined);
  return user.uid === 0 ? undefined : (words) => wordsAs(user, words);
}

/** A trouble of the database as a Failure of one line; anything else is a bug, and stays what it is. */
export function storeFailure(error: unknown): unknown {
  if (error instanceof Failure || !(error instanceof Error) || !("code" in error)) return error;
  const away = error.code === "ESTOREAWAY";
  const text = error.message.replaceAll("\n", " ");
  return new Failure(
    away ? exitStatus.unavailable : exitStatus.ioError,
    away ? text : `the database refused: ${text}`,
    { cause: error },
  );
}
