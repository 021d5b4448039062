/**
 * What strace wrote of a program, with `-f -ttt -yy -o FILE`: its calls in their order, with what they wrote. Pure, and
 * linear: a trace has megabytes, and strings of one megabyte in it.
 */

/** A call of the program. A place is a number of a line: it grows, also from one trace to the next. */
export interface Call {
  readonly name: string;
  /** Arguments as strace shows them, each in one piece. */
  readonly words: readonly string[];
  /** What it gave; negative where it failed; undefined where it never came back. */
  readonly result: number | undefined;
  /** Where it began, and where it came back. */
  readonly begun: number;
  readonly ended: number | undefined;
  /** When it began, in microseconds since the epoch. */
  readonly at: number;
  /** The process, or the thread. */
  readonly pid: number;
}

/** A descriptor as `-yy` shows it. */
export interface Descriptor {
  readonly number: number;
  /** A path, or "TCP:[127.0.0.1:25->127.0.0.1:40000]" and the like. */
  readonly of: string;
}

interface Begun {
  readonly text: string;
  readonly place: number;
  readonly at: number;
}

/** The calls in `trace` for which `isWanted` says so, given their text; its first line has the place `from`. */
export function readTrace(
  trace: string,
  isWanted: (text: string) => boolean,
  from = 0,
): { readonly calls: readonly Call[]; readonly end: number } {
  const calls: Call[] = [];
  const open = new Map<number, Begun>();
  let place = from;
  for (const line of trace.split("\n")) {
    place += 1;
    const [, process = "", time = "", rest = ""] = /^(\d+)\s+(\d+\.\d+) (.*)$/s.exec(line) ?? [];
    const pid = Number(process);
    if (rest === "" || rest.startsWith("---") || rest.startsWith("+++")) continue;
    const resumed = /^<\.\.\. \w+ resumed>/.exec(rest)?.[0];
    const began = resumed === undefined ? { text: "", place, at: microseconds(time) } : open.get(pid);
    open.delete(pid);
    if (began === undefined) continue;
    const text = `${began.text}${rest.slice(resumed?.length ?? 0)}`;
    if (text.endsWith(unfinished)) open.set(pid, { ...began, text: text.slice(0, -unfinished.length) });
    else if (isWanted(text)) calls.push(callIn(text, began, pid, place));
  }
  for (const [pid, began] of open)
    if (isWanted(began.text)) calls.push(callIn(began.text, began, pid, undefined));
  return { calls: calls.sort((one, other) => one.begun - other.begun), end: place };
}

const unfinished = " <unfinished ...>";

const microseconds = (time: string): number => Number(time.replace(".", ""));

function callIn(text: string, { place, at }: Begun, pid: number, ended: number | undefined): Call {
  const opening = text.indexOf("(");
  const { words, end } = wordsIn(text, opening + 1);
  const said = /^\s*= (-?\d+|\?)/.exec(text.slice(end, end + 80))?.[1];
  const result = said === undefined || said === "?" ? undefined : Number(said);
  const back = result === undefined ? undefined : ended;
  return { name: text.slice(0, opening), words, result, begun: place, ended: back, at, pid };
}

/** The arguments from `from` on, up to the bracket that closes them, or to the end of a call that was cut off. */
function wordsIn(text: string, from: number): { readonly words: readonly string[]; readonly end: number } {
  const words: string[] = [];
  let depth = 0;
  let begin = from;
  const take = (end: number): void => {
    const word = text.slice(begin, end).trim();
    if (word !== "") words.push(word);
    begin = end + 1;
  };
  for (let at = from; at < text.length; at += 1) {
    const letter = text[at];
    if (letter === '"') at = endOfString(text, at);
    else if (letter === "[" || letter === "{" || letter === "(") depth += 1;
    else if (letter === ")" && depth === 0) {
      take(at);
      return { words, end: at + 1 };
    } else if (letter === "]" || letter === "}" || letter === ")") depth -= 1;
    else if (letter === "," && depth === 0) take(at);
  }
  take(text.length);
  return { words, end: text.length };
}

/** The quote that ends the string which begins at `from`. */
function endOfString(text: string, from: number): number {
  for (let at = from + 1; at < text.length; at += 1) {
    if (text[at] === "\\") at += 1;
    else if (text[at] === '"') return at;
  }
  return text.length;
}

const letters: Readonly<Record<string, string>> = { n: "\n", r: "\r", t: "\t", v: "\v", f: "\f" };

/** The octets of all strings in `word`, one behind the other: of "…", and of [{iov_base="…", iov_len=3}, …]. */
export function octetsIn(word: string): Buffer {
  const parts: Buffer[] = [];
  for (let at = word.indexOf('"'); at !== -1; at = word.indexOf('"', at)) {
    const end = endOfString(word, at);
    if (word.startsWith("...", end + 1))
      throw new Error("strace has left out what was written: its -s is too small");
    const text = word
      .slice(at + 1, end)
      .replace(/\\([0-7]{1,3}|.)/g, (_, code: string) =>
        /[0-7]/.test(code) ? String.fromCharCode(Number.parseInt(code, 8)) : (letters[code] ?? code),
      );
    parts.push(Buffer.from(text, "latin1"));
    at = end + 1;
  }
  return Buffer.concat(parts);
}

/** Undefined where `word` is none, or none that strace could name. */
export function descriptorIn(word: string | undefined): Descriptor | undefined {
  const [, number, of = ""] = /^(\d+)<(.*)>$/s.exec(word ?? "") ?? [];
  return number === undefined ? undefined : { number: Number(number), of };
}

/** The absolute paths among the arguments. */
export const pathsIn = ({ words }: Pick<Call, "words">): readonly string[] =>
  words.filter((word) => word.startsWith('"/')).map((word) => octetsIn(word).toString());
