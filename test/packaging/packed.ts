/** The Debian package for tests, made anew. */
import { join } from "node:path";
import { runWell } from "../tools/child.mjs";

const build = join(import.meta.dirname, "..", "..", "packaging/package.mjs");

/** Builds the package of one flavour in `folder`, in haste; its path. */
export async function packedFor(flavour: "debian12" | "debian13", folder: string): Promise<string> {
  const words = [build, folder, "--flavour", flavour, "--no-compression"];
  return (await runWell(process.execPath, words)).trim();
}
