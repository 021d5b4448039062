/**
 * What a shell completes: commands, options, the words that stand for a value, files. One script for each shell, which
 * holds all of it; nothing is started while a person types.
 */
import type { AnyCommandLine } from "./options.ts";

/** A value: one of some words, a file (`at`: also behind "@"), or anything. */
export type CompletedValue =
  | { readonly kind: "words"; readonly words: readonly string[] }
  | { readonly kind: "file"; readonly at: boolean }
  | { readonly kind: "text" };

export interface CompletedOption {
  /** With their dashes, the short one first. */
  readonly names: readonly string[];
  /** One sentence. */
  readonly help: string;
  /** Undefined where it takes none. */
  readonly value: CompletedValue | undefined;
  /** The value may be left out. */
  readonly optional: boolean;
}

export interface CompletedCommand {
  /** Behind "tpa-submit": "", "queue", "queue list". */
  readonly path: string;
  readonly summary: string;
  readonly options: readonly CompletedOption[];
  /** What its arguments are; undefined where it takes none. */
  readonly argument: CompletedValue | undefined;
  readonly subcommands: readonly CompletedCommand[];
}

const help: CompletedOption = {
  names: ["-h", "--help"],
  help: "Show this help",
  value: undefined,
  optional: false,
};

/** The first sentence, as a shell has no room for more. */
export const firstSentence = (text: string): string =>
  /^.*?[.:;](?= |$)/.exec(text)?.[0].replace(/[.:;]$/, "") ?? text;

/** From the rows of a command. */
export function completedCommand({
  name,
  summary,
  options,
  arguments: places,
}: AnyCommandLine): CompletedCommand {
  const [first] = Object.values(places);
  return {
    path: name,
    summary,
    options: [...Object.values(options).map(completedOption), help],
    argument: first && completedValue(first.syntax, first.words),
    subcommands: [],
  };
}

function completedOption({ flags, help: text, words }: AnyCommandLine["options"][string]): CompletedOption {
  const [names = "", value] = flags.split(/ (?=[<[])/);
  return {
    names: names.split(", "),
    help: firstSentence(text),
    value: value === undefined ? undefined : completedValue(value, words),
    optional: value?.startsWith("[") ?? false,
  };
}

function completedValue(syntax: string, words: readonly string[] | undefined): CompletedValue {
  if (words !== undefined) return { kind: "words", words };
  return /\b(?:file|folder)\b/.test(syntax) ? { kind: "file", at: false } : { kind: "text" };
}

/** A command and all below it. */
const below = (command: CompletedCommand): readonly CompletedCommand[] => [
  command,
  ...command.subcommands.flatMap(below),
];

const lastWord = (path: string): string => path.split(" ").at(-1) ?? "";

function bash(program: CompletedCommand): string {
  const all = below(program);
  const paths = all.filter(({ path }) => path !== "").map(({ path }) => `"${path}"`);
  const words = all.map(({ path, options, subcommands, argument }) => {
    const more = argument?.kind === "words" ? argument.words : [];
    const names = options.flatMap((option) => option.names).join(" ");
    const plain = [...subcommands.map((one) => lastWord(one.path)), ...more].join(" ");
    return `    "${path}") options="${names}" words="${plain}" files=${argument?.kind === "file" ? 1 : ""} ;;\n`;
  });
  const values = all.flatMap(({ path, options }) =>
    options.flatMap(({ names, value, optional }) => {
      if (value === undefined) return [];
      const cases = names.map((name) => `"${path}:${name}"`).join("|");
      const what =
        value.kind === "words"
          ? `words="${value.words.join(" ")}" files=`
          : `words="" files=${value.kind === "file" ? (value.at ? "@" : 1) : ""}`;
      return [`    ${cases}) ${what}${optional ? "" : ' options=""'} ;;\n`];
    }),
  );
  return `# Completion of tpa-submit for bash
_tpa_submit() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]} path="" options="" words="" files="" i
  COMPREPLY=()
  for ((i = 1; i < COMP_CWORD; i++)); do
    case "\${path:+$path }\${COMP_WORDS[i]}" in
      ${paths.join("|")}) path="\${path:+$path }\${COMP_WORDS[i]}" ;;
    esac
  done
  # bash takes "--name=value" for three words
  if [ "$word" = = ]; then word=""; elif [ "$before" = = ]; then before=\${COMP_WORDS[COMP_CWORD-2]}; fi
  case $path in
${words.join("")}  esac
  case $path:$before in
${values.join("")}  esac
  case $files$word in
    @@*) mapfile -t COMPREPLY < <(compgen -P @ -f -- "\${word#@}"); compopt -o filenames 2>/dev/null; return ;;
    *) [ -z "$files" ] || { mapfile -t COMPREPLY < <(compgen -f -- "$word"); compopt -o filenames 2>/dev/null; } ;;
  esac
  [[ $word != -* && -n $words$files ]] || words="$words $options"
  mapfile -t -O "\${#COMPREPLY[@]}" COMPREPLY < <(compgen -W "$words" -- "$word")
}
complete -F _tpa_submit tpa-submit
`;
}

function zsh(program: CompletedCommand): string {
  const quoted = (text: string): string => text.replaceAll("'", "'\\''");
  const said = (text: string): string => quoted(text.replace(/[[\]:\\]/g, "\\$&"));
  const action = (value: CompletedValue): string => {
    if (value.kind === "words") return `:value:(${value.words.join(" ")})`;
    return value.kind === "file" ? ":file:_files" : ":value:";
  };
  const specs = ({ names, help: text, value, optional }: CompletedOption): readonly string[] =>
    names.map((name) => {
      // One "=": a value may stand behind "=" or be the next word; without it, it is the next word.
      const joined = value === undefined ? "" : name.startsWith("--") ? "=" : "+";
      return `'*${name}${joined}[${said(text)}]${value === undefined ? "" : `${optional ? ":" : ""}${quoted(action(value))}`}'`;
    });
  const name = (path: string): string =>
    ["_tpa_submit", ...path.split(" ").filter((word) => word !== "")].join("_");
  const functions = below(program).map(({ path, options, subcommands, argument }) => {
    const rows = options.flatMap(specs);
    // Of a text there is nothing to complete, and ":value:" would say so in place of the options: "{:}" does nothing.
    const rest =
      argument === undefined ? [] : [`'*${argument.kind === "text" ? ":value:{:}" : action(argument)}'`];
    if (subcommands.length === 0)
      return `${name(path)}() {\n  _arguments \\\n    ${[...rows, ...rest].join(" \\\n    ")}\n}\n`;
    const described = subcommands.map(
      (one) => `    '${lastWord(one.path)}:${quoted(one.summary.replaceAll(":", "\\:"))}'\n`,
    );
    const cases = subcommands.map((one) => `      ${lastWord(one.path)}) ${name(one.path)} ;;\n`);
    return `${name(path)}() {
  local context state state_descr line
  typeset -A opt_args
  local -a below=(
${described.join("")}  )
  _arguments -C \\
    ${[...rows, "'1: :->below'", "'*:: :->rest'"].join(" \\\n    ")}
  case $state in
    below) _describe command below ;;
    rest) case $words[1] in
${cases.join("")}    esac ;;
  esac
}
`;
  });
  return `#compdef tpa-submit
# Completion of tpa-submit for zsh
${functions.join("")}if [[ $funcstack[1] == _tpa-submit ]]; then _tpa_submit "$@"; else compdef _tpa_submit tpa-submit; fi
`;
}

function fish(program: CompletedCommand): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const all = below(program);
  const paths = all.filter(({ path }) => path !== "").map(({ path }) => quoted(path));
  const lines = all.flatMap(({ path, options, subcommands, argument }) => {
    const at = `complete -c tpa-submit -n ${quoted(`__tpa_submit_at ${quoted(path)}`)}`;
    const words = argument?.kind === "words" ? argument.words : [];
    return [
      ...subcommands.map((one) => `${at} -a ${lastWord(one.path)} -d ${quoted(one.summary)}\n`),
      ...words.map((word) => `${at} -a ${word}\n`),
      ...(argument?.kind === "file" ? [`${at} -F\n`] : []),
      ...options.flatMap(({ names, help: text, value }) =>
        names.map((written) => {
          const name = written.replace(/^-+/, "");
          const kind = written.startsWith("--") ? "-l" : name.length === 1 ? "-s" : "-o";
          return `${at} ${kind} ${name}${wanted(value)} -d ${quoted(text)}\n`;
        }),
      ),
    ];
  });
  return `# Completion of tpa-submit for fish
function __tpa_submit_at --description 'whether the command so far is this one'
  set -l path
  for word in (commandline -opc)[2..]
    switch (string trim "$path $word")
      case ${paths.join(" ")}
        set path (string trim "$path $word")
    end
  end
  test "$path" = "$argv[1]"
end
complete -c tpa-submit -f
${lines.join("")}`;
}

function wanted(value: CompletedValue | undefined): string {
  if (value === undefined) return "";
  if (value.kind === "words") return ` -x -a '${value.words.join(" ")}'`;
  return value.kind === "file" ? " -r -F" : " -x";
}

/** The scripts by shell. */
export const shells: Readonly<Record<string, (program: CompletedCommand) => string>> = { bash, zsh, fish };
