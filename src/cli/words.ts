/** A command that is several, such as `tpa-submit queue list`: one row for each word, imported only when it is called. */
import { exitStatus, nearest } from "../failure.ts";
import { usageMistake } from "./options.ts";
import { print } from "./print.ts";
import { helpHeading as heading } from "./terminal.ts";

export interface Word {
  readonly summary: string;
  readonly load: () => Promise<{ readonly run: (argv: readonly string[]) => Promise<number> }>;
}

export interface Family {
  /** Behind "tpa-submit". */
  readonly name: string;
  readonly summary: string;
  readonly words: Readonly<Record<string, Word>>;
  /** The word that is meant where none is given. */
  readonly standard: string;
  /** Where to read on. */
  readonly manual: string;
}

/** Runs the word that `argv` begins with; gives its exit status. Throws a {@link usageMistake} where there is none. */
export async function runWord(family: Family, argv: readonly string[]): Promise<number> {
  const { name, words, standard } = family;
  const [first = standard, ...rest] = argv;
  if (first === "--help" || first === "-h" || (first === "help" && rest.length === 0)) {
    print(overview(family));
    return exitStatus.ok;
  }
  if (first === "help") return runWord(family, [...rest.slice(0, 1), "--help"]);
  if (first.startsWith("-")) return runWord(family, [standard, ...argv]);
  const word = Object.hasOwn(words, first) ? words[first] : undefined;
  if (word) return (await word.load()).run(rest);
  const meant = nearest(first, Object.keys(words));
  const known =
    meant === undefined ? `it knows ${Object.keys(words).join(", ")}` : `did you mean "${meant}"?`;
  throw usageMistake(name, `there is no "${name} ${first}"; ${known}`);
}

function overview({ name, summary, words, standard, manual }: Family): string {
  const rows = Object.entries(words).map(([word, { summary: what }]) => `  ${word.padEnd(9)} ${what}\n`);
  return `${heading("Usage:")} tpa-submit ${name} [word] [options]

${summary}

${heading("Words:")}
${rows.join("")}
Without a word it is "${standard}". "tpa-submit ${name} <word> --help" tells about a word, ${manual} about all.
`;
}
