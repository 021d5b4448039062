/** What only root may do: start a Postfix, mount a disk. */
import { real } from "../tools/real.ts";

export const isRoot = process.getuid?.() === 0;

/** As `real`, for tests that start a Postfix, whose master insists on being root: those of a plain user are skipped aloud. */
export function realPostfix(...others: readonly string[]): boolean {
  const installed = real("postfix", "postmap", ...others);
  if (installed && !isRoot) process.stderr.write("\n*** SKIPPED: Postfix is started by root only ***\n");
  return installed && isRoot;
}
