/** What only root may do: start a Postfix, mount a disk. */
import { real } from "../tools/real.ts";

export const isRoot = process.getuid?.() === 0;

/** As `real`, for tests that want root: those of a plain user are skipped aloud. */
export function realAsRoot(...needs: readonly string[]): boolean {
  const installed = real(...needs);
  if (installed && !isRoot) process.stderr.write(`\n*** SKIPPED, only root may: ${needs.join(", ")} ***\n`);
  return installed && isRoot;
}

/** The same, for tests that start a Postfix, whose master insists on being root. */
export const realPostfix = (...others: readonly string[]): boolean =>
  realAsRoot("postfix", "postmap", ...others);
