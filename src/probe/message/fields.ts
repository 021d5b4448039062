/**
 * The header of a probe's message: --header replaces, --add-header adds, long lists of recipients are folded.
 * Lines without their ends, octets in "latin1" strings.
 */

/** Where added fields go, if the template says so. */
const place = /%NEW_HEADERS%|\.\.NEW_HEADERS\.\./;

/** What a header line may hold without its CRLF (RFC 5322 section 2.1.1). */
const longest = 998;

/** Where folded lines shall end: the same paragraph. */
const comfortable = 78;

/**
 * The header's lines with `replaced` in place of the last field of the same name, whatever its case, and with the rest
 * behind those of `added`: at %NEW_HEADERS%, else at the end. Lines from `end` on belong to the body already and are
 * not looked at: the standard template has no empty line between the two.
 */
export function withFields(
  lines: readonly string[],
  end: number,
  added: readonly string[],
  replaced: readonly string[],
): readonly string[] {
  let head = lines.slice(0, end);
  const fresh = [...added.flatMap(linesOf)];
  for (const field of replaced.flatMap(fieldsOf)) {
    const swapped = withSwapped(head, field);
    if (swapped) head = swapped;
    else fresh.push(...field);
  }
  const all = [...head, ...lines.slice(end)];
  const first = all.findIndex((line) => place.test(line));
  if (first < 0) return [...all, ...fresh];
  const inserted = fresh.map((line) => `${line}\n`).join("");
  return all.flatMap((line, index) =>
    line.replace(place, () => (index === first ? inserted : "")).split("\n"),
  );
}

/** Without the empty lines at its end, which would end the header. */
const linesOf = (text: string): readonly string[] => text.replace(/\n+$/, "").split("\n");

/** Each field with its folded lines. */
function fieldsOf(text: string): readonly (readonly string[])[] {
  const fields: string[][] = [];
  for (const line of linesOf(text)) {
    const last = fields.at(-1);
    if (last !== undefined && /^[ \t]/.test(line)) last.push(line);
    else fields.push([line]);
  }
  return fields;
}

const nameOf = ([line = ""]: readonly string[]): string | undefined => /^([^\s:][^:]*):/.exec(line)?.[1];

/** The lines with `field` in place of the last one of its name; undefined where there is none. */
function withSwapped(lines: readonly string[], field: readonly string[]): string[] | undefined {
  const name = nameOf(field)?.toLowerCase();
  const start = lines.findLastIndex((line) => name !== undefined && nameOf([line])?.toLowerCase() === name);
  if (start < 0) return undefined;
  const folded = lines.slice(start + 1).findIndex((line) => !/^[ \t]/.test(line));
  const rest = folded < 0 ? [] : lines.slice(start + 1 + folded);
  return [...lines.slice(0, start), ...field, ...rest];
}

/** A list of addresses that is longer than a line may be, folded behind its commas. */
export function foldAddresses(line: string): string {
  if (line.length <= longest || !/^(?:to|cc|bcc|from|reply-to):/i.test(line)) return line;
  const folded: string[] = [];
  let current = "";
  for (const address of line.match(/[^,]*,\s*|[^,]+$/g) ?? []) {
    if (current !== "" && current.trimEnd().length + address.trimEnd().length > comfortable) {
      folded.push(current.trimEnd());
      current = " ";
    }
    current += address;
  }
  return [...folded, current].join("\n");
}
