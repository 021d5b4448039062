/** One section of --dump: a title, then names and values with their equal signs below one another, as swaks prints. */

export interface Section {
  readonly title: string;
  /** A value of several lines is a list. */
  readonly lines: readonly (readonly [name: string, value: string | readonly string[]])[];
  /** The equal signs stand as if there were a name as long as this one. */
  readonly width?: number;
}

/** The section's lines, each with its line feed. */
export function printSection({ title, lines, width = 0 }: Section): string {
  const column = Math.max(width, ...lines.map(([name]) => name.length));
  const below = `\n${" ".repeat(column + 5)}`;
  const printed = lines.map(([name, value]) => {
    const text = typeof value === "string" ? value : value.join(below);
    return `  ${name.padEnd(column)} = ${text}\n`;
  });
  return `${title}:\n${printed.join("")}`;
}
