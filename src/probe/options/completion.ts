/** Completions of the probe's options for bash, zsh and fish, made from the table. */
import { mistake } from "./mistake.ts";
import type { Row } from "./row.ts";
import { rows, writtenNames } from "./table.ts";

const takesFile = ({ file, placeholder }: Row): boolean =>
  file === true || placeholder === "FILE" || placeholder === "PATH";

/** The first sentence, which is what a shell has room for. */
const brief = ({ help }: Row): string => /^.*?[.:;](?= |$)/.exec(help)?.[0].replace(/[.:;]$/, "") ?? help;

function bash(): string {
  const words = rows.flatMap(writtenNames).join(" ");
  const files = rows
    .filter(takesFile)
    .flatMap(writtenNames)
    .map((name) => `${name}:*`)
    .join("|");
  return `# Completion of "tpa-submit probe" for bash
_tpa_submit_probe() {
  local word=\${COMP_WORDS[COMP_CWORD]} before=\${COMP_WORDS[COMP_CWORD-1]}
  [ "\${COMP_WORDS[1]}" = probe ] || return 0
  case $before:$word in
    *:@*) mapfile -t COMPREPLY < <(compgen -P @ -f -- "\${word#@}") ;;
    ${files}) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    *) mapfile -t COMPREPLY < <(compgen -W "${words}" -- "$word") ;;
  esac
}
complete -o default -o filenames -F _tpa_submit_probe tpa-submit
`;
}

function zsh(): string {
  const quoted = (text: string): string => text.replaceAll("'", "'\\''").replace(/[[\]:]/g, "\\$&");
  const lines = rows.flatMap((row) => {
    const value =
      row.argument === "none"
        ? ""
        : `:${(row.placeholder ?? "").replaceAll(":", "\\:")}:${takesFile(row) ? "_files" : ""}`;
    return writtenNames(row).map((name) => `    '${name}[${quoted(brief(row))}]${value}'`);
  });
  return `#compdef tpa-submit
# Completion of "tpa-submit probe" for zsh
if [[ $words[2] == probe ]]; then
  shift words; (( CURRENT-- ))
  _arguments \\
${lines.join(" \\\n")}
fi
`;
}

function fish(): string {
  const quoted = (text: string): string => `'${text.replace(/[\\']/g, "\\$&")}'`;
  const lines = rows.flatMap((row) =>
    writtenNames(row).map((written) => {
      const name = written.replace(/^-+/, "");
      const kind = written.startsWith("--") ? "-l" : name.length === 1 ? "-s" : "-o";
      const value = row.argument === "none" ? "" : takesFile(row) ? " -r" : " -x";
      return `complete -c tpa-submit -n '__fish_seen_subcommand_from probe' ${kind} ${name}${value} -d ${quoted(brief(row))}\n`;
    }),
  );
  return `# Completion of "tpa-submit probe" for fish\n${lines.join("")}`;
}

const shells: Readonly<Record<string, () => string>> = { bash, zsh, fish };

/** The script for a shell. Throws a Failure for a shell that is not known. */
export function completionFor(shell: string): string {
  const write = shells[shell];
  if (write === undefined)
    throw mistake(`--completion: expected bash, zsh or fish, found '${shell}', exiting`);
  return write();
}
