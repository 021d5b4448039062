/** `tpa-submit probe --help`: all options by group, with an example each. */
import { type Group, groups, type Row } from "./row.ts";
import { rows, writtenNames } from "./table.ts";

const width = 88;

/** `-s, --server HOST[:PORT]`: short names first. */
export function synopsis(row: Row): string {
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

function explained(row: Row): string {
  const standard = row.standard === undefined ? "" : ` Default: ${row.standard}.`;
  return `  ${synopsis(row)}\n${wrapped(`${row.help}${standard}`, "      ")}      $ tpa-submit probe ${row.example}\n`;
}

const grouped = (Object.keys(groups) as Group[])
  .map((group) => {
    const members = rows.filter((row) => row.group === group).map(explained);
    return `${groups[group]}:\n${members.join("")}`;
  })
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
