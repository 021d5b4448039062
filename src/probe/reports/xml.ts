/**
 * As much of XML 1.0 as reports are written in, read piece by piece: elements, text, CDATA, the five named entities and
 * numbered characters. Attributes, comments and processing instructions are passed over. A DOCTYPE is refused, and with
 * it every entity of the document's own. Time is linear, and what is kept is bounded.
 */
import { deepest, Unreadable } from "./report.ts";

export interface XmlEvents {
  /** Names are without their prefix. */
  readonly open: (name: string) => void;
  /** The text of an element may come in several pieces. */
  readonly text: (text: string) => void;
  readonly close: (name: string) => void;
}

export interface XmlReader {
  /** The next characters, cut anywhere. Throws Unreadable. */
  write(chunk: string): void;
  end(): void;
}

/** Characters of a tag with its attributes. Our choice; the longest of real reports has some hundreds. */
const longestTag = 8192;
/** `&#x10ffff;` */
const longestEntity = 12;

/** What is passed over, and what ends it. */
interface Passage {
  readonly end: string;
  readonly isText: boolean;
}

const passages: Readonly<Record<string, Passage>> = {
  "<!--": { end: "-->", isText: false },
  "<?": { end: "?>", isText: false },
  "<![CDATA[": { end: "]]>", isText: true },
};
const starts = Object.keys(passages);

export function openXml(events: XmlEvents): XmlReader {
  const path: string[] = [];
  let rest = "";
  let passage: Passage | undefined;
  let isOver = false;

  function text(found: string): void {
    if (path.length > 0) events.text(found);
    else if (/[^\s\uFEFF]/.test(found)) throw new Unreadable("it has text outside its elements");
  }

  /** Passes over to the end of `passage`; tells where that is, or where the search goes on with the next piece. */
  function pass({ end, isText }: Passage, from: number): number {
    const found = rest.indexOf(end, from);
    const to = found < 0 ? Math.max(from, rest.length - end.length + 1) : found;
    if (isText) text(rest.slice(from, to));
    if (found < 0) return to;
    passage = undefined;
    return found + end.length;
  }

  /** Text up to the next "<"; without one, all but the start of an entity at the end. */
  function passText(from: number): number {
    const found = rest.indexOf("<", from);
    if (found >= 0) {
      text(decoded(rest.slice(from, found)));
      return found;
    }
    const entity = rest.lastIndexOf("&");
    const to = entity >= Math.max(from, rest.length - longestEntity) ? entity : rest.length;
    text(decoded(rest.slice(from, to)));
    return to;
  }

  function tag(inside: string): void {
    const [, name = ""] = /^\/?([A-Za-z_][\w:.-]{0,99})(?:[\s/]|$)/.exec(inside) ?? [];
    if (name === "") throw new Unreadable("it is not well-formed XML");
    const local = name.slice(name.indexOf(":") + 1);
    if (inside.startsWith("/")) {
      if (path.pop() !== name) throw new Unreadable("it is not well-formed XML");
      events.close(local);
    } else {
      if (isOver) throw new Unreadable("it is not well-formed XML");
      if (path.push(name) > deepest) throw new Unreadable("its elements are nested too deep");
      events.open(local);
      if (inside.endsWith("/")) {
        path.pop();
        events.close(local);
      }
    }
    isOver = path.length === 0;
  }

  /** The markup at `from`; tells where it ends, undefined where that has not come yet. */
  function markup(from: number): number | undefined {
    const head = rest.slice(from, from + 9);
    const start = starts.find((one) => head.startsWith(one));
    if (start !== undefined) {
      passage = passages[start];
      return from + start.length;
    }
    if (head.length < 9 && starts.some((one) => one.startsWith(head))) return undefined;
    if (head.startsWith("<!")) throw new Unreadable("it has a document type, which no report needs");
    const end = endOfTag(rest, from + 1);
    if (end === undefined ? rest.length - from > longestTag : end - from > longestTag)
      throw new Unreadable("a tag in it is too long");
    if (end === undefined) return undefined;
    tag(rest.slice(from + 1, end));
    return end + 1;
  }

  return {
    write(chunk) {
      rest += chunk;
      let at = 0;
      while (at < rest.length) {
        const to = passage ? pass(passage, at) : rest[at] === "<" ? markup(at) : passText(at);
        if (to === undefined || to === at) break;
        at = to;
      }
      rest = rest.slice(at);
    },
    end() {
      if (!isOver || passage !== undefined || rest.trim() !== "") throw new Unreadable("it breaks off");
    },
  };
}

/** Where the ">" of a tag is that begins at `from`; one in quotes does not count. */
function endOfTag(text: string, from: number): number | undefined {
  const most = Math.min(text.length, from + longestTag + 1);
  let quote = "";
  for (let at = from; at < most; at++) {
    const character = text[at] ?? "";
    if (quote !== "") {
      if (character === quote) quote = "";
    } else if (character === '"' || character === "'") quote = character;
    else if (character === ">") return at;
    else if (character === "<") throw new Unreadable("it is not well-formed XML");
  }
  return undefined;
}

const named: Readonly<Record<string, string>> = { lt: "<", gt: ">", amp: "&", quot: '"', apos: "'" };

function decoded(text: string): string {
  if (!text.includes("&")) return text;
  return text.replace(/&([#\w]{0,10})(;?)/g, (_, name: string, end: string) => {
    const found = end === "" ? undefined : (named[name] ?? numbered(name));
    if (found === undefined) throw new Unreadable("it has an entity that XML does not know");
    return found;
  });
}

function numbered(name: string): string | undefined {
  const [, hex, decimal = ""] = /^#(?:x([0-9a-f]{1,8})|(\d{1,8}))$/i.exec(name) ?? [];
  const code = hex === undefined ? Number.parseInt(decimal, 10) : Number.parseInt(hex, 16);
  return code > 0 && code <= 0x10_ff_ff ? String.fromCodePoint(code) : undefined;
}
