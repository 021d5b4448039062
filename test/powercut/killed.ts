/**
 * What became of the calls that a kill cut off: strace does not tell whether they were done, and the files that were there
 * afterwards do. By the time of the next start they are over.
 */
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { type Call, descriptorIn, octetsIn, pathsIn } from "./trace.ts";

/** Each file and its content, of a folder nothing. */
export type Files = ReadonlyMap<string, Buffer | undefined>;

/** All that is below the folder `root`. */
export async function filesBelow(root: string): Promise<Files> {
  const found = new Map<string, Buffer | undefined>();
  for (const entry of await readdir(root, { recursive: true, withFileTypes: true })) {
    const path = join(entry.parentPath, entry.name);
    found.set(path, entry.isFile() ? await readFile(path) : undefined);
  }
  return found;
}

/** `call` as it ended before `end`, or undefined where it was not done; `files` were there afterwards. */
export function settled(call: Call, files: Files, end: number): Call | undefined {
  if (call.result !== undefined) return call;
  const [from = "", to = ""] = pathsIn(call);
  const { of = "" } = descriptorIn(call.words[0]) ?? {};
  if (from === "" && !of.startsWith("/")) return call; // it left by a socket
  const content = files.get(of);
  const done = (result: number): Call => ({ ...call, result, ended: end });
  switch (call.name) {
    case "unlink":
    case "unlinkat":
    case "rmdir":
      return files.has(from) ? undefined : done(0);
    case "rename":
    case "renameat":
    case "renameat2":
      return files.has(to) && !files.has(from) ? done(0) : undefined;
    case "mkdir":
    case "mkdirat":
      return files.has(from) ? done(0) : undefined;
    case "open":
    case "openat":
      return files.has(from) ? done(nobody) : undefined;
    case "write":
      return content?.includes(octetsIn(call.words[1] ?? "")) === true ? done(length(call)) : undefined;
    case "pwrite64":
    case "pwritev":
    case "pwritev2": {
      const octets = octetsIn(call.words[1] ?? "");
      const there = content?.subarray(Number(call.words[3])) ?? Buffer.alloc(0);
      const wrong = octets.findIndex((octet, at) => octet !== there[at]);
      const written = wrong === -1 ? octets.length : wrong;
      return written === 0 ? undefined : done(written);
    }
    case "ftruncate":
      return content?.length === Number(call.words[1]) ? done(0) : undefined;
    default:
      return undefined;
  }
}

/** A descriptor that nobody used. */
const nobody = 2 ** 30;

const length = (call: Call): number => octetsIn(call.words[1] ?? "").length;
