/** --help, all options by group with an example each; and --completion for shells. Both come from the table. */
import { mistake } from "./mistake.ts";
import type { OptionRow } from "./option.ts";
import { groups, rows, writtenNames } from "./table.ts";

const width = 88;

/** `-s, --server HOST[:PORT]`: short names first. */
export function synopsis(row: OptionRow): string {
  const names = writtenNames(row);
  if (row.placeholder === undefined) return names.join(", ");
  const value = row.argument === "required" ? row.placeholder : `[${row.placeholder}]`;
  return `${names.join(", ")} ${value}`;
}

function wrapped(text: string, indent: string): string {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && indent.length + line.length + 1 + word.length > width) {
      lines.push(line);
      line = word;
    } else line = line === "" ? word : `${line} ${word}`;
  }
  return [...lines, line].map((part) => `${indent}${part}\n`).join("");
}

function explained(row: OptionRow): string {
  const standard = row.standard === undefined ? "" : ` Default: ${row.standard}.`;
  return `  ${synopsis(row)}\n${wrapped(`${row.help}${standard}`, "      ")}      $ tpa-submit probe ${row.example}\n`;
}

const grouped = groups
  .map(({ title, rows: members }) => `${title}:\n${members.map(explained).join("")}`)
  .join("\n");

export const helpText = `Usage: tpa-submit probe [options]

Has one conversation with a mail server and shows it. The options are those of swaks, so
its commands work here, too. One dash or two, a name or its beginning, a blank or "=" in
front of the value: all the same. --no-NAME forgets an option that a file or a variable has set.

  $ tpa-submit probe -f alice@example.org -t bob@example.org -s mail.example.org -p 587 -tls -au alice -ap -pp

${grouped}
Exit status: 0 all done; 1 options; 2 no connection; 6 connection lost; 21 greeting; 22 EHLO;
23 MAIL; 24 no recipient accepted; 25 DATA; 26 message refused; 28 authentication; 29 TLS.
The rest, and more examples: tpa-submit-probe(1).
`;

export const takesFile = ({ file, placeholder }: OptionRow): boolean =>
  file === true || placeholder === "FILE" || placeholder === "PATH";

/** The first sentence, as a shell has no room for more. */
const firstSentence = ({ help }: OptionRow): string =>
  /^.*?[.:;](?= |$)/.exec(help)?.[0].replace(/[.:;]$/, "") ?? help;

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
    return writtenNames(row).map((name) => `    '${name}[${quoted(firstSentence(row))}]${value}'`);
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
      return `complete -c tpa-submit -n '__fish_seen_subcommand_from probe' ${kind} ${name}${value} -d ${quoted(firstSentence(row))}\n`;
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
