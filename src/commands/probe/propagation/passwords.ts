/**
 * The files with the test account's password: FILE has the one that works, FILE.next the one that the directory has and the
 * server may not know yet. Each is a line, for its owner alone. A crash at any moment leaves the right one in one of them.
 */
import { readFile, unlink } from "node:fs/promises";
import { replaceFile } from "../../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../../failure.ts";

export interface Passwords {
  /** Those that may work, the likelier first. */
  known(): Promise<readonly string[]>;
  /** Before the directory hears of it. */
  prepare(password: string): Promise<void>;
  /** It has been seen to work: FILE has it from now on. */
  adopt(password: string): Promise<void>;
}

/** All calls throw a Failure where a file cannot be read or written. */
export function passwordsIn(file: string): Passwords {
  const next = `${file}.next`;
  return {
    async known() {
      const found = [await lineIn(next), await lineIn(file)];
      return [...new Set(found.filter((password) => password !== ""))];
    },
    prepare: (password) => write(next, password),
    async adopt(password) {
      await write(file, password); // whoever logs in with FILE has the new one from here on
      await unlink(next).catch((error: unknown) => {
        if (errorCode(error) !== "ENOENT") throw asFailure(error, next, exitStatus.cannotCreate);
      });
    },
  };
}

async function lineIn(file: string): Promise<string> {
  try {
    return (await readFile(file, "utf8")).split(/\r?\n/)[0] ?? "";
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw asFailure(error, file, exitStatus.noInput);
  }
}

async function write(file: string, password: string): Promise<void> {
  try {
    await replaceFile(file, `${password}\n`, { mode: 0o600 });
  } catch (error) {
    throw asFailure(error, file, exitStatus.cannotCreate);
  }
}

function asFailure(error: unknown, file: string, status: number): unknown {
  if (errorCode(error) === "") return error;
  return new Failure(status, `--password-file: ${file}: ${errorText(error)}`);
}
