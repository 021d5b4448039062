/** A header as filters change it. Pure. */
import type { HeaderField } from "../../../smtp/header.ts";
import type { MilterChange } from "./answers.ts";

/** Those that concern the header. */
export type HeaderChange = Extract<MilterChange, { readonly value: string }>;

export const isHeaderChange = (change: MilterChange): change is HeaderChange => "value" in change;

/** `fields` after `changes`, each made to what the ones before it left. A value begins right behind the colon. */
export function changeHeader(
  fields: readonly HeaderField[],
  changes: readonly HeaderChange[],
): readonly HeaderField[] {
  const result = [...fields];
  for (const change of changes) {
    const field = fieldOf(change);
    if (change.kind === "add") result.push(field);
    else if (change.kind === "insert") result.splice(Math.max(0, change.at - 1), 0, field);
    else {
      const at = placeOf(result, change.name, Math.max(1, change.nth));
      // Without a value the field goes. One that is not there is added, as Sendmail and Postfix do it.
      if (change.value === "") {
        if (at >= 0) result.splice(at, 1);
      } else if (at < 0) result.push(field);
      else result[at] = field;
    }
  }
  return result;
}

/** Where the field `name` stands for the `nth` time; -1 for nowhere. */
function placeOf(fields: readonly HeaderField[], name: string, nth: number): number {
  const wanted = name.toLowerCase();
  let left = nth;
  return fields.findIndex((field) => {
    if (field.name.length !== wanted.length || field.name.toLowerCase() !== wanted) return false;
    left -= 1;
    return left === 0;
  });
}

/**
 * The field as it stands in a message: LF becomes CRLF, and a line that does not begin with a blank gets one, so that no value
 * can end the header or be another field (RFC 5322 section 2.2.3).
 */
function fieldOf({ name, value }: HeaderChange): HeaderField {
  const [first = "", ...folded] = value
    .replaceAll("\r", "")
    .split("\n")
    .filter((line, index) => index === 0 || line.trim() !== "");
  const lines = [first, ...folded.map((line) => (/^[ \t]/.test(line) ? line : `\t${line}`))];
  return { name, raw: `${name}:${lines.join("\r\n")}\r\n` };
}
