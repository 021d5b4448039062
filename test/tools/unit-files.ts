/**
 * Which test files are unit tests: those that need no process, server or real program. Nobody keeps a list; what a file
 * and its helpers import tells it. no-outside.ts stops a unit test that gets out all the same.
 */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../", import.meta.url));

/**
 * Modules of Node's by which a test gets out. Those of the program name the net for types and for what nobody calls in
 * a unit test; but who imports the lock of the spool starts a process.
 */
const outside = /^node:(?:child_process|cluster|dgram|http|http2|https|net|tls|worker_threads)$/;
const outsideOfProgram = /^node:child_process$/;

/** The demonstration starts a relay, and real.ts asks programs. */
const helpers = /^(?:demo\/|test\/tools\/real\.ts$)/;

/** What a module imports; a type is nothing. */
export const importsOf = (text: string): readonly string[] =>
  [
    ...text.matchAll(/^(?:import|export)\s+(?!type\b)[^"';]*?\bfrom "([^"]+)"/gm),
    ...text.matchAll(/^import "([^"]+)"/gm),
    ...text.matchAll(/\bimport\(\s*"([^"]+)"/g),
  ].map(([, name = ""]) => name);

/** Whether the module at `path`, relative to the project's folder, gets out, itself or by what it imports. */
function getsOut(path: string, seen: Set<string>): boolean {
  if (helpers.test(path)) return true;
  if (seen.has(path) || !/^(?:test|src)\/.*\.m?[jt]s$/.test(path)) return false;
  seen.add(path);
  const file = join(root, path);
  if (!existsSync(file)) return false;
  const out = path.startsWith("src/") ? outsideOfProgram : outside;
  return importsOf(readFileSync(file, "utf8")).some(
    (name) =>
      out.test(name) || (name.startsWith(".") && getsOut(relative(root, join(dirname(file), name)), seen)),
  );
}

export const isUnit = (path: string): boolean => !getsOut(path, new Set());

/** All test files, relative to the project's folder, in two. */
export function testFiles(): { readonly unit: readonly string[]; readonly whole: readonly string[] } {
  const all = readdirSync(join(root, "test"), { recursive: true, encoding: "utf8" })
    .filter((name) => name.endsWith(".test.ts"))
    .map((name) => join("test", name))
    .sort();
  return { unit: all.filter(isUnit), whole: all.filter((path) => !isUnit(path)) };
}
