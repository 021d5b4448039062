/** Conversations with the server as data: reads the files whose format README.md tells. */

export type Step =
  | { readonly kind: "say"; readonly octets: Buffer; readonly at: number }
  | { readonly kind: "hear"; readonly pattern: string; readonly at: number }
  | { readonly kind: "closed"; readonly at: number };

export interface Mail {
  readonly fields: ReadonlyMap<string, string>;
  readonly lines: readonly string[];
}

export interface Dialogue {
  readonly title: string;
  readonly at: number;
  readonly words: ReadonlySet<string>;
  readonly settings: ReadonlyMap<string, string>;
  readonly steps: readonly Step[];
  /** Messages that must be in the spool at the end; undefined where the dialogue does not say. */
  readonly mails: readonly Mail[] | undefined;
  readonly logs: readonly string[];
}

const known = new Set(["plain", "starttls", "secure", "login", "pipelined", "whole"]);

export function parseDialogues(text: string, file: string): readonly Dialogue[] {
  const parts = text.split(/^== /m);
  const before = (parts.shift() ?? "").split("\n").length - 1;
  let line = before;
  return parts.map((part) => {
    const at = line + 1;
    line += part.split("\n").length - 1;
    return parseDialogue(part.split("\n"), at, file);
  });
}

function parseDialogue([title = "", ...lines]: readonly string[], start: number, file: string): Dialogue {
  let words: ReadonlySet<string> = new Set();
  const settings = new Map<string, string>();
  const steps: Step[] = [];
  const logs: string[] = [];
  let mails: Mail[] | undefined;
  for (const [index, line] of lines.entries()) {
    const at = start + 1 + index;
    const [, key = "", rest = ""] = /^(C|S|M|log|C-bytes):(?: (.*))?$/.exec(line) ?? [];
    if (line.trim() === "" || line.startsWith("#")) continue;
    if (key === "C") steps.push({ kind: "say", octets: Buffer.from(`${filled(rest)}\r\n`), at });
    else if (key === "C-bytes")
      steps.push({ kind: "say", octets: Buffer.from(fromJson(rest), "latin1"), at });
    else if (key === "S") steps.push({ kind: "hear", pattern: rest, at });
    else if (key === "M") mails = inLastMail(mails, rest);
    else if (key === "log") logs.push(rest);
    else if (line === "closed") steps.push({ kind: "closed", at });
    else if (line === "no mail") mails = [];
    else if (line.startsWith("mail "))
      mails = [...(mails ?? []), { fields: pairs(line.slice(5)), lines: [] }];
    else if (line.startsWith("with "))
      for (const [name, value] of pairs(line.slice(5))) settings.set(name, value);
    else if (line.split(" ").every((word) => known.has(word))) words = new Set(line.split(" "));
    else throw new Error(`${file}:${at}: not understood: ${line}`);
  }
  return { title, at: start, words, settings, steps, mails, logs };
}

function inLastMail(mails: readonly Mail[] | undefined, line: string): Mail[] {
  const [last, ...others] = [...(mails ?? [])].reverse();
  if (!last) throw new Error(`"M: ${line}" before any "mail" line`);
  return [...others.reverse(), { ...last, lines: [...last.lines, line] }];
}

function pairs(text: string): ReadonlyMap<string, string> {
  return new Map(
    text.split(" ").map((word) => {
      const at = word.indexOf("=");
      return [word.slice(0, at), word.slice(at + 1)] as const;
    }),
  );
}

function filled(text: string): string {
  return text
    .replace(/\{base64 (.*?)\}/g, (_, inner: string) =>
      Buffer.from(inner.replaceAll("\\0", "\0")).toString("base64"),
    )
    .replace(/\{(\d+)\*(.)\}/g, (_, count: string, letter: string) => letter.repeat(Number(count)));
}

function fromJson(text: string): string {
  const value: unknown = JSON.parse(text);
  if (typeof value !== "string") throw new Error(`expected a JSON string, got ${text}`);
  return value;
}

/** Whether `text` is `pattern`, in which "*" stands for anything and "?" for one character. */
export function matches(pattern: string, text: string): boolean {
  const source = pattern
    .replace(/[.+^${}()|[\]\\]/g, "\\$&")
    .replaceAll("*", ".*")
    .replaceAll("?", ".");
  return new RegExp(`^${source}$`, "s").test(text);
}

/** Whether `lines` are as `patterns` say; "..." stands for any number of lines. */
export function allMatch(patterns: readonly string[], lines: readonly string[]): boolean {
  const [pattern, ...others] = patterns;
  if (pattern === undefined) return lines.length === 0;
  if (pattern === "...")
    return lines.some((_, skip) => allMatch(others, lines.slice(skip))) || others.length === 0;
  const [line, ...rest] = lines;
  return line !== undefined && matches(pattern, line) && allMatch(others, rest);
}

/** The first of `patterns` at which `lines` go another way; undefined where they are as it says. */
export function firstAmiss(patterns: readonly string[], lines: readonly string[]): string | undefined {
  if (allMatch(patterns, lines)) return undefined;
  const amiss = patterns.findIndex((_, at) => !allMatch([...patterns.slice(0, at + 1), "..."], lines));
  return amiss === -1 ? "no more lines" : patterns[amiss];
}
