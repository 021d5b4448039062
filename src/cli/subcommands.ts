/** A command with subcommands, such as `tpa-submit queue list`: a row for each, imported only when it is called. */
import { exitStatus, nearest } from "../failure.ts";
import { type AnyCommandLine, usageMistake } from "./options.ts";
import { print } from "./output.ts";
import { helpHeading as heading } from "./terminal.ts";

export interface Subcommand {
  readonly summary: string;
  readonly load: () => Promise<{ readonly run: (argv: readonly string[]) => Promise<number> }>;
  /** Its options and arguments, for who completes them. */
  readonly line: () => Promise<AnyCommandLine>;
}

export interface CommandGroup {
  /** Behind "tpa-submit". */
  readonly name: string;
  readonly summary: string;
  readonly subcommands: Readonly<Record<string, Subcommand>>;
  /** The subcommand that runs where none is given, if any. */
  readonly default?: string;
  /** Where to read on. */
  readonly manual: string;
}

/** Runs the subcommand that `argv` begins with and gives its exit status. Throws a {@link usageMistake} for an unknown one. */
export async function runSubcommand(group: CommandGroup, argv: readonly string[]): Promise<number> {
  const { name, subcommands, default: standard } = group;
  const [first = standard, ...rest] = argv;
  if (first === undefined)
    throw usageMistake(name, `expected a subcommand; it knows ${Object.keys(subcommands).join(", ")}`);
  if (first === "--help" || first === "-h" || (first === "help" && rest.length === 0)) {
    print(overview(group));
    return exitStatus.ok;
  }
  if (first === "help") return runSubcommand(group, [...rest.slice(0, 1), "--help"]);
  if (standard !== undefined && first.startsWith("-")) return runSubcommand(group, [standard, ...argv]);
  const found = Object.hasOwn(subcommands, first) ? subcommands[first] : undefined;
  if (found) return (await found.load()).run(rest);
  const meant = nearest(first, Object.keys(subcommands));
  const known =
    meant === undefined ? `it knows ${Object.keys(subcommands).join(", ")}` : `did you mean "${meant}"?`;
  throw usageMistake(name, `there is no "${name} ${first}"; ${known}`);
}

function overview({ name, summary, subcommands, default: standard, manual }: CommandGroup): string {
  const rows = Object.entries(subcommands).map(([one, { summary: what }]) => `  ${one.padEnd(9)} ${what}\n`);
  return `${heading("Usage:")} tpa-submit ${name} [subcommand] [options]

${summary}

${heading("Subcommands:")}
${rows.join("")}
${standard === undefined ? "" : `Without a subcommand it is "${standard}". `}"tpa-submit ${name} <subcommand> --help" tells about one, ${manual} about all.
`;
}
