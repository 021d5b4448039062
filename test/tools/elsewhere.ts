/** The built program where any user may run it: the working copy may lie in a folder that only its owner can enter. */
import { cpSync, existsSync, mkdirSync, readFileSync } from "node:fs";
import { chmod, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

export interface Elsewhere {
  /** Node and the program: what to run, and its first word. */
  readonly node: string;
  readonly program: string;
  readonly remove: () => Promise<void>;
}

/** Copies what was built, its dependencies, and Node. */
export async function copyElsewhere(): Promise<Elsewhere> {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-elsewhere-"));
  await chmod(folder, 0o755);
  for (const name of ["bin", "dist", "package.json"]) copy(name, folder);
  for (const name of dependencies()) copy(join("node_modules", name), folder);
  const node = join(folder, "node");
  cpSync(process.execPath, node);
  await chmod(node, 0o755);
  return {
    node,
    program: join(folder, "bin/tpa-submit"),
    remove: () => rm(folder, { recursive: true }),
  };
}

function copy(name: string, folder: string): void {
  const to = join(folder, name);
  mkdirSync(dirname(to), { recursive: true });
  cpSync(join(root, name), to, { recursive: true, dereference: true });
}

/** What the program needs of node_modules, with what that needs. */
function dependencies(): ReadonlySet<string> {
  const found = new Set<string>();
  const look = (file: string): void => {
    const { dependencies: own = {} } = JSON.parse(readFileSync(file, "utf8")) as {
      readonly dependencies?: Readonly<Record<string, string>>;
    };
    for (const name of Object.keys(own)) {
      const folder = join(root, "node_modules", name);
      if (found.has(name) || !existsSync(folder)) continue; // one of a package's own comes with it
      found.add(name);
      look(join(folder, "package.json"));
    }
  };
  look(join(root, "package.json"));
  return found;
}
