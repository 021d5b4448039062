/**
 * From words to options, as swaks reads them: one dash or two, a name or its beginning, "=" or a space before the
 * value, `--no-NAME` forgets. Commander cannot read single dashes before long names (-tls, -ap), nor the beginnings
 * of names, and its negation means something else; so the probe has a reader of its own.
 */
import type { Row } from "./row.ts";
import { find, type Meaning } from "./table.ts";

/** One option as it was given, or `forget`: what has been said of it so far does not count. */
export interface Setting {
  readonly row: Row;
  readonly forget: boolean;
  /** Absent: it was given without a value. */
  readonly value?: string;
  /** It stands on the command line, where ps shows it. */
  readonly visible: boolean;
}

/** A word; an option and its value are one where nothing else can be meant: "--NAME=VALUE", a line of a file. */
export interface Word {
  readonly text: string;
  readonly value?: string;
}

export interface Reading {
  readonly settings: readonly Setting[];
  /** Words that belong to no option. */
  readonly left: readonly string[];
  /** Unknown names and missing values, one line each. */
  readonly mistakes: readonly string[];
}

/** `--h-Subject: Hello` and `--header-Subject Hello` are `--header "Subject: Hello"`. */
const namedHeader = /^(no-)?h(?:eader)?-([^=]+?):?$/;

/** Splits the words of a command line at their first "=" where they are options. */
export const wordsOf = (argv: readonly string[]): readonly Word[] => argv.map((text) => split(text));

function split(text: string): Word {
  const [, name, value] = /^(--?[^=]+)=(.*)$/s.exec(text) ?? [];
  return name === undefined || value === undefined ? { text } : { text: name, value };
}

/** Reads the words of one source. `visible`: they are a command line, where a value may be the next word. */
export function readWords(words: readonly Word[], visible = false): Reading {
  const settings: Setting[] = [];
  const left: string[] = [];
  const mistakes: string[] = [];
  let at = 0;

  /** The value behind an option, if the next word may be one. */
  function take(row: Row): string | undefined {
    const next = words[at];
    if (!visible || next === undefined || !mayFollow(row, next)) return undefined;
    at++;
    return next.value === undefined ? next.text : `${next.text}=${next.value}`;
  }

  while (at < words.length) {
    const word = words[at++];
    if (word === undefined) break;
    if (word.text === "--") {
      left.push(...words.slice(at).map(({ text }) => text));
      break;
    }
    if (!/^-./.test(word.text)) {
      left.push(word.text);
      continue;
    }
    const name = word.text.replace(/^--?/, "");
    const header = namedHeader.exec(name);
    const meaning = find(header ? `${header[1] ?? ""}header` : name);
    if (!isMeaning(meaning)) {
      mistakes.push(unknown(name, meaning, settings.at(-1)));
      continue;
    }
    const { row, forget } = meaning;
    if (forget) {
      if (word.value !== undefined) left.push(word.value);
      settings.push({ row, forget, visible });
      continue;
    }
    const value = word.value ?? take(row);
    if (header) settings.push({ row, forget, value: `${header[2]}: ${value ?? ""}`, visible });
    else if (value === undefined && row.argument === "required")
      mistakes.push(`Option ${name} requires an argument`);
    else if (value !== undefined && !isFor(row, value)) {
      left.push(value);
      settings.push({ row, forget, visible });
    } else settings.push({ row, forget, visible, ...(value === undefined ? {} : { value }) });
  }
  return { settings, left, mistakes };
}

const isMeaning = (found: Meaning | readonly string[]): found is Meaning => "row" in found;

/** Whether a value that stands in the option's own word is one that the option takes. */
function isFor(row: Row, value: string): boolean {
  return row.argument === "number" ? /^[-+]?\d+$/.test(value) : row.argument !== "none";
}

/** Whether the next word is the option's value: not where it could as well be an option. */
function mayFollow(row: Row, { text }: Word): boolean {
  if (row.argument === "none") return false;
  if (row.argument === "required") return true;
  return isFor(row, text) && (text === "-" || !text.startsWith("-") || row.argument === "number");
}

/** swaks' words; a word behind a password may be one, so it is not repeated. */
function unknown(name: string, candidates: readonly string[], before: Setting | undefined): string {
  if (before?.row.sensitive && before.value === undefined && candidates.length === 0)
    return `Unknown option behind --${before.row.name}: a password that begins with a dash is written --${before.row.name}=-…`;
  return candidates.length === 0
    ? `Unknown option: ${name}`
    : `Option ${name} is ambiguous (${candidates.join(", ")})`;
}
