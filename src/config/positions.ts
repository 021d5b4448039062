/**
 * On which line of a TOML file each key stands, which smol-toml does not tell.
 * It leans on the file being valid TOML (parse it first) and understands just enough: tables, dotted and quoted keys,
 * strings of one and of many lines, lists, inline tables, comments.
 */

/** The keys from the top of the file to a value, elements of lists by number: ["listen", "submission", 0]. */
export type KeyPath = readonly (string | number)[];

/** The line, from 1, on which the key or the element at `path` begins; undefined where it is not in the file. */
export type LineOf = (path: KeyPath) => number | undefined;

/** Finds the lines of all keys and elements in `source`, which must be valid TOML. */
export function findLines(source: string): LineOf {
  const lines = new Map<string, number>();
  const elements = new Map<string, number>(); // of [[tables]], counted
  let at = 0;
  let line = 1;
  let table: KeyPath = [];

  const next = (): string => source.charAt(at);

  function step(count = 1): void {
    for (const character of source.slice(at, at + count)) if (character === "\n") line += 1;
    at += count;
  }

  function match(pattern: RegExp): string {
    pattern.lastIndex = at;
    const found = pattern.exec(source)?.[0] ?? "";
    step(found.length);
    return found;
  }

  const skipSpace = (): void => void match(space);

  function note(path: KeyPath): void {
    const key = JSON.stringify(path);
    if (!lines.has(key)) lines.set(key, line);
  }

  /** Reads `a."b.c"` and notes each key on the way. */
  function keys(from: KeyPath): KeyPath {
    let path = from;
    do {
      skipSpace();
      path = [...path, unquoted(match(key))];
      note(path);
      skipSpace();
    } while (match(dot) !== "");
    return path;
  }

  function header(): void {
    const many = match(openTable) === "[[";
    table = keys([]);
    if (many) {
      const number = elements.get(JSON.stringify(table)) ?? 0;
      elements.set(JSON.stringify(table), number + 1);
      table = [...table, number];
      note(table);
    }
    match(closeTable);
  }

  function pair(within: KeyPath): void {
    const path = keys(within);
    step(); // =
    skipSpace();
    anyValue(path);
  }

  function anyValue(path: KeyPath): void {
    if (next() === "[") inside("]", (index) => element([...path, index]));
    else if (next() === "{") inside("}", () => pair(path));
    else if (match(string) === "") match(bare);
  }

  function element(path: KeyPath): void {
    note(path);
    anyValue(path);
  }

  /** From the opening bracket to `close`; `item` reads one item. */
  function inside(close: string, item: (index: number) => void): void {
    step();
    skipSpace();
    for (let index = 0; at < source.length && next() !== close; index += 1) {
      item(index);
      skipSpace();
      if (next() === ",") step();
      skipSpace();
    }
    step();
  }

  skipSpace();
  while (at < source.length) {
    if (next() === "[") header();
    else pair(table);
    skipSpace();
  }
  return (path) => lines.get(JSON.stringify(path));
}

const space = /(?:\s|#[^\n]*(?:\n|$))*/y;
const dot = /\./y;
const openTable = /\[{1,2}/y;
const closeTable = /\]{1,2}/y;
const key = /"(?:[^"\\]|\\.)*"|'[^']*'|[^\s.=\][]*/y;
// A string of many lines may end with one or two quotation marks of its own before the three that close it.
const string =
  /"""(?:[^"\\]|\\[\s\S]|"{1,2}(?!"))*"{3,5}|'''(?:[^']|'{1,2}(?!'))*'{3,5}|"(?:[^"\\]|\\.)*"|'[^']*'/y;
const bare = /[^,\]}\n#]*/y;

function unquoted(written: string): string {
  if (written.startsWith("'")) return written.slice(1, -1);
  if (!written.startsWith('"')) return written;
  return written.slice(1, -1).replace(escaped, (_, long, short, octet, letter: string) => {
    const hex: string | undefined = long ?? short ?? octet;
    return hex === undefined ? (meaning[letter] ?? letter) : String.fromCodePoint(Number.parseInt(hex, 16));
  });
}

const escaped = /\\(?:U([\da-fA-F]{8})|u([\da-fA-F]{4})|x([\da-fA-F]{2})|(.))/g;
const meaning: Readonly<Record<string, string>> = {
  b: "\b",
  t: "\t",
  n: "\n",
  f: "\f",
  r: "\r",
  e: "\u001b",
};
