/** `--check`: what a hash is, and what is in a password file; never shows a hash. */
import { existsSync } from "node:fs";
import { exitStatus, Failure } from "../../failure.ts";
import { type DisabledLine, type EntryLine, isEntry, type PasswordLine } from "../../passwd/password-file.ts";
import { readStored } from "../../passwd/stored.ts";
import { passwordFiles, readLines } from "./file.ts";
import { print } from "./hash.ts";
import type { PasswdOptions } from "./options.ts";

const better = "BLF-CRYPT with cost 10 or more, or ARGON2ID";

/** `what` is a hash or a file; "" are the password files of the configuration, one for each domain. */
export async function check(options: PasswdOptions, what: string): Promise<number> {
  if (what === "") return checkFiles(options, await passwordFiles(options));
  return existsSync(what) ? checkFile(options, what) : checkHash(options, what);
}

function checkHash(options: PasswdOptions, hash: string): number {
  const stored = readStored(hash);
  if ("problem" in stored) {
    if (options.json) print(JSON.stringify({ usable: false, problem: stored.problem }));
    throw new Failure(exitStatus.temporary, `this hash lets nobody in: ${stored.problem}`);
  }
  const { algorithm, cost, weakness } = stored.inspection;
  const instead = weakness === "" ? undefined : better;
  if (options.json)
    return print(
      JSON.stringify({ usable: true, scheme: stored.scheme.name, algorithm, cost, weakness, instead }),
    );
  const rows = [
    ["scheme", stored.scheme.name],
    ["algorithm", algorithm],
    ["cost", cost || "none"],
    ["fit for use", fitness(weakness)],
    ...(instead === undefined ? [] : [["instead", instead]]),
  ];
  return print(columns(rows).join("\n"));
}

/** One that is wrong keeps no other from its turn; in the end that is thrown. */
async function checkFiles(options: PasswdOptions, paths: readonly string[]): Promise<number> {
  const failures: Failure[] = [];
  for (const [number, path] of paths.entries()) {
    if (number > 0 && !options.json) print("");
    try {
      await checkFile(options, path);
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      failures.push(error);
    }
  }
  const [failed] = failures;
  if (failed) throw new Failure(failed.status, failures.map(({ message }) => message).join("\n"));
  return exitStatus.ok;
}

async function checkFile(options: PasswdOptions, path: string): Promise<number> {
  const summary = summarizeLines(await readLines(path));
  const logins = summary.kinds.reduce((sum, { lines }) => sum + lines.length, 0);
  print(options.json ? asJson(path, summary) : asText(path, summary, logins));
  if (logins === 0) throw new Failure(exitStatus.temporary, `password file ${path}: no line lets anybody in`);
  return exitStatus.ok;
}

function asText(path: string, { kinds, shut }: FileSummary, logins: number): string {
  const table = columns([
    ["SCHEME", "COST", "LOGINS", "FIT FOR USE"],
    ...kinds.map(({ algorithm, cost, weakness, lines }) => [
      algorithm,
      cost || "none",
      String(lines.length),
      fitness(weakness),
    ]),
  ]);
  const weak = kinds
    .filter(({ weakness }) => weakness !== "")
    .flatMap(({ algorithm, cost, lines }) =>
      lines.map(({ number, login }) => [
        `  line ${number}`,
        login,
        cost === "" ? algorithm : `${algorithm}, ${cost}`,
      ]),
    );
  const closed = shut.map(({ number, login, reason }) => [
    `  line ${number}`,
    JSON.stringify(login).slice(1, -1),
    reason,
  ]);
  return [
    `${path}: ${logins} lines with a password, ${shut.length} that let nobody in`,
    ...(kinds.length === 0 ? [] : ["", ...table]),
    ...(weak.length === 0 ? [] : ["", `Weak; better is ${better}:`, ...columns(weak)]),
    ...(closed.length === 0 ? [] : ["", "Let nobody in:", ...columns(closed)]),
  ].join("\n");
}

function asJson(file: string, { kinds, shut }: FileSummary): string {
  return JSON.stringify({
    file,
    schemes: kinds.map(({ lines, ...kind }) => ({ ...kind, logins: lines.length })),
    weak: kinds
      .filter(({ weakness }) => weakness !== "")
      .flatMap(({ algorithm, cost, lines }) =>
        lines.map(({ number, login }) => ({ line: number, login, algorithm, cost })),
      ),
    shut: shut.map(({ number, login, reason }) => ({ line: number, login, reason })),
  });
}

const fitness = (weakness: string): string => (weakness === "" ? "yes" : `no: ${weakness}`);

/** Rows with their columns below one another. */
function columns(rows: readonly (readonly string[])[]): string[] {
  const widths = (rows[0] ?? []).map((_, at) => Math.max(...rows.map((row) => (row[at] ?? "").length)));
  return rows.map((row) =>
    row
      .map((cell, at) => cell.padEnd(widths[at] ?? 0))
      .join("  ")
      .trimEnd(),
  );
}

/** Entries of one algorithm and cost. */
interface SchemeUse {
  readonly algorithm: string;
  readonly cost: string;
  /** "" where it is fit for use. */
  readonly weakness: string;
  readonly lines: readonly EntryLine[];
}

interface FileSummary {
  /** The commonest first. */
  readonly kinds: readonly SchemeUse[];
  readonly shut: readonly DisabledLine[];
}

function summarizeLines(lines: readonly PasswordLine[]): FileSummary {
  const kinds = new Map<string, SchemeUse>();
  for (const line of lines.filter(isEntry)) {
    const { algorithm, cost, weakness } = line.stored.inspection;
    const key = `${algorithm} ${cost}`;
    kinds.set(key, { algorithm, cost, weakness, lines: [...(kinds.get(key)?.lines ?? []), line] });
  }
  return {
    kinds: [...kinds.values()].sort((one, other) => other.lines.length - one.lines.length),
    shut: lines.flatMap((line) => (isEntry(line) ? [] : line)),
  };
}
