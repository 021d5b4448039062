/**
 * Sets single values in the text of a TOML file. Everything else stays as it is, to the octet: what is there of a person's
 * is changed in its own line, what is new comes below the line that has its default, or at the end of its table.
 */
import { exitStatus, Failure } from "../failure.ts";
import { findLines } from "./positions.ts";

export interface Change {
  /** "" for what stands above the first table. */
  readonly table: string;
  readonly key: string;
  readonly value: string;
}

/** One line that is changed. */
export interface LineEdit {
  /** In the new text, from one. */
  readonly line: number;
  readonly before?: string;
  readonly after: string;
}

export interface EditedText {
  readonly text: string;
  /** In order. */
  readonly edits: readonly LineEdit[];
}

/**
 * `source`, valid TOML, with all of `changes`. Throws a Failure where a value is more than one text in a line of its own;
 * `file` is its name there.
 */
export function setValues(source: string, file: string, changes: readonly Change[]): EditedText {
  let lines: readonly EditableLine[] = source.split("\n").map((text) => ({ text }));
  for (const change of changes) lines = withChange(lines, file, change);
  const edits = lines.flatMap(({ text, before, isNew }, at): readonly LineEdit[] => {
    if (isNew) return [{ line: at + 1, after: text }];
    return before === undefined ? [] : [{ line: at + 1, before, after: text }];
  });
  return { text: lines.map(({ text }) => text).join("\n"), edits };
}

interface EditableLine {
  readonly text: string;
  /** What stood there at first; absent where that is still so. */
  readonly before?: string;
  readonly isNew?: boolean;
}

const added = (text: string): EditableLine => ({ text, isNew: true });

function withChange(
  lines: readonly EditableLine[],
  file: string,
  { table, key, value }: Change,
): readonly EditableLine[] {
  const texts = lines.map(({ text }) => text);
  const path = table === "" ? [key] : [table, key];
  const at = findLines(texts.join("\n"))(path);
  const written = JSON.stringify(value);
  if (at !== undefined) return lines.with(at - 1, replaced(lines[at - 1], `${file}:${at}`, key, written));
  const assignment = `${key} = ${written}`;
  const { begin, end } = rangeOf(texts, table);
  if (begin === undefined) {
    const trimmed = texts.at(-1) === "" ? lines.slice(0, -1) : lines;
    return [...trimmed, added(""), added(`[${table}]`), added(assignment), { text: "" }];
  }
  const standard = texts.findIndex((text, index) => index >= begin && index < end && isDefaultOf(text, key));
  const last = texts.findLastIndex((text, index) => index >= begin && index < end && text.trim() !== "");
  const place = standard >= 0 ? standard + 1 : Math.max(begin, last + 1);
  return lines.toSpliced(place, 0, added(assignment));
}

const isDefaultOf = (text: string, key: string): boolean => {
  const found = /^#\s*([a-z-]+)\s*=/.exec(text)?.[1];
  return found === key;
};

/** The lines of a table, header left out; without `begin` where there is none. Above the first one is a table, too. */
function rangeOf(texts: readonly string[], table: string): { readonly begin?: number; readonly end: number } {
  const header = (text: string): string | undefined => /^\s*\[{1,2}([^\]]*)\]/.exec(text)?.[1]?.trim();
  const isHeader = (text: string): boolean => header(text) !== undefined || /^#\s*\[\[/.test(text);
  const begin = table === "" ? 0 : texts.findIndex((text) => header(text) === table) + 1;
  if (table !== "" && begin === 0) return { end: 0 };
  const end = texts.findIndex((text, index) => index >= begin && isHeader(text));
  return { begin, end: end < 0 ? texts.length : end };
}

function replaced(line: EditableLine | undefined, place: string, key: string, written: string): EditableLine {
  const text = line?.text ?? "";
  const found = /^(\s*[\w."-]+\s*=\s*)(?:"(?:[^"\\]|\\.)*"|'[^']*')(\s*(?:#.*)?)$/.exec(text);
  if (!found) {
    throw new Failure(
      exitStatus.config,
      `${place}: ${key}: is no text in a line of its own; change it by hand`,
    );
  }
  const [, front = "", back = ""] = found;
  const next = `${front}${written}${back}`;
  if (next === text) return line ?? { text };
  return line?.isNew ? added(next) : { text: next, before: line?.before ?? text };
}
