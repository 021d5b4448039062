/** What `status` and the metrics tell of the keys by which people send by SSH. */
import { open } from "node:fs/promises";
import { setImmediate as nextTurn } from "node:timers/promises";
import { errorCode, errorText } from "../../failure.ts";
import { parseKeyFile } from "../../ssh/key-file.ts";

export interface SshKeyFacts {
  readonly file: string;
  /** Keys that let in, and of how many logins. */
  readonly keys: number;
  readonly logins: number;
  /** In milliseconds since the epoch; absent where it cannot be read. */
  readonly written?: number;
  /** Why it cannot be read. */
  readonly fault?: string;
}

/** Lines looked at in one turn, a millisecond or two: mail comes first. */
const linesPerTurn = 500;

async function countKeys(text: string): Promise<Pick<SshKeyFacts, "keys" | "logins">> {
  const logins = new Set<string>();
  let keys = 0;
  for (const [number, line] of text.split("\n").entries()) {
    if (number % linesPerTurn === 0) await nextTurn();
    for (const { login } of parseKeyFile(line)) {
      keys += 1;
      logins.add(login);
    }
  }
  return { keys, logins: logins.size };
}

/** By the file's name; whoever asks again and again is told the same while the file is the same. */
const known = new Map<string, { readonly version: string; readonly facts: SshKeyFacts }>();

/** Reads the file where it has changed. What is wrong with it is in the answer. */
export async function readSshKeyFacts(file: string): Promise<SshKeyFacts> {
  try {
    const handle = await open(file);
    try {
      const { ino, size, mtimeNs, mtimeMs } = await handle.stat({ bigint: true });
      const version = [ino, size, mtimeNs].join(" ");
      const before = known.get(file);
      if (before?.version === version) return before.facts;
      const facts = { file, ...(await countKeys(await handle.readFile("utf8"))), written: Number(mtimeMs) };
      known.set(file, { version, facts });
      return facts;
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return { file, keys: 0, logins: 0, fault: errorText(error) };
  }
}
