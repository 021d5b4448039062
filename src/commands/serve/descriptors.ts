/** How many files and connections this process may have open. */
import { readFileSync } from "node:fs";
import { errorCode } from "../../failure.ts";

/** What a shell gives where nobody has said anything. */
const usual = 1024;

/** Infinity where there is no limit. Node.js raises the soft limit to the hard one when it starts. */
export function descriptorLimit(file = "/proc/self/limits"): number {
  try {
    const soft = /^Max open files\s+(\S+)/m.exec(readFileSync(file, "latin1"))?.[1] ?? `${usual}`;
    return soft === "unlimited" ? Number.POSITIVE_INFINITY : Number(soft);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return usual;
  }
}
