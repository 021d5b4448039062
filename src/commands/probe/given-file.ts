/** Files that options and settings of the probe name: read and written whole, or told of in one line. */
import { readFile } from "node:fs/promises";
import { replaceFile } from "../../durable.ts";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

/** The text of `file`. Throws a Failure that begins with `named`: an option, the file, or both. */
export async function textIn(file: string, named: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.noInput, `${named}: ${errorText(error)}`);
  }
}

/** Where a secret stands. */
export const firstLine = (text: string): string => text.split(/\r?\n/)[0] ?? "";

/** Replaces the file that `option` names, for all to read. Throws a Failure. */
export async function publish(file: string, text: string, option: string): Promise<void> {
  try {
    await replaceFile(file, text, { mode: 0o644 });
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.cannotCreate, `${option}: cannot write ${file}: ${errorText(error)}`);
  }
}
