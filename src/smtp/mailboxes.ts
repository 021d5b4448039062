/**
 * The addresses in header fields such as From and Sender (RFC 5322 section 3.4, RFC 6854 for groups in them), with the
 * obsolete syntax that occurs in practice. They decide who may send as whom, so a field that mail programs read in
 * different ways is not read at all. Paths in SMTP commands are in address.ts.
 */
import { parseMailbox } from "./address.ts";

/** White space is dropped; a mark is one of `<>,:;@.` */
interface Token {
  readonly kind: "atom" | "quoted" | "literal" | "mark" | "comment";
  readonly text: string;
}

/**
 * The addresses in a field's unfolded body, one character for each octet ("latin1"), in their order, groups included,
 * display names not. They are returned in SMTP's syntax, quoted only if necessary, with octets above 127 read as UTF-8
 * (RFC 6532). Undefined if the body is not an address list. Takes time in proportion to its length.
 */
export function readMailboxes(body: string): readonly string[] | undefined {
  const only = (alone.exec(body) ?? named.exec(body))?.[1];
  if (only !== undefined) return parseMailbox(only) ? [only] : undefined;
  const all = tokensOf(body);
  if (!all) return undefined;
  const tokens = all.filter(({ kind }) => kind !== "comment");
  const found: string[] = [];
  let inGroup = false;
  let afterGroup = false;
  let isEmpty = true;
  for (let at = 0; at <= tokens.length; ) {
    const end = elementEnd(tokens, at);
    const element = tokens.slice(at, end);
    const closer = tokens[end]?.text;
    if (element.length > 0) isEmpty = false;
    if (afterGroup && (element.length > 0 || closer === ":")) return undefined;
    if (closer === ":") {
      if (inGroup || !isGroupName(element)) return undefined;
      inGroup = true;
    } else if (element.length > 0) {
      const address = mailbox(element);
      if (address === undefined) return undefined;
      found.push(address);
    } // obs-addr-list allows empty elements (RFC 5322 section 4.4)
    if (closer === ";" && !inGroup) return undefined;
    afterGroup = closer === ";";
    if (afterGroup) inGroup = false;
    at = end + 1;
  }
  if (inGroup || isEmpty) return undefined;
  return hiddenAddresses(all).every((hidden) => found.some((one) => isSame(one, hidden))) ? found : undefined;
}

/** Most fields: one address of letters and digits, alone or behind a name of letters. Nothing of them has to be taken apart. */
const alone = /^[ \t]*([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9.-]+)[ \t]*$/;
const named = /^[ \t]*[A-Za-z][A-Za-z \t]*<([A-Za-z0-9_+-]+(?:\.[A-Za-z0-9_+-]+)*@[A-Za-z0-9.-]+)>[ \t]*$/;

/** Whether `text` has only comments and blanks. */
export const isComments = (text: string): boolean =>
  tokensOf(text)?.every(({ kind }) => kind === "comment") ?? false;

/**
 * The display name in a field's body without a usable address: `User One`, also in `User One <user1>`, or the one in
 * `root (Cron Daemon)`. Undefined if there is none.
 */
export function readName(body: string): string | undefined {
  const tokens = tokensOf(body);
  if (!tokens) return undefined;
  const open = tokens.findIndex((token) => isMark(token, "<"));
  const comment = tokens.find(({ kind }) => kind === "comment")?.text.slice(1, -1) ?? "";
  const isAddress = tokens.some((token) => isMark(token, "@"));
  if (open < 0 && comment !== "" && comment !== "none") {
    if (comment.includes("=?")) return /^[\w=?+/ *-]+$/.test(comment) ? comment : undefined;
    return /^[^\x00-\x1f\x7f"\\()]+$/.test(comment) ? `"${comment}"` : undefined;
  }
  if (open < 0 && isAddress) return undefined;
  const words = tokens.slice(0, open < 0 ? undefined : open).filter(({ kind }) => kind !== "comment");
  if (words.length === 0) return undefined;
  if (words.every(({ kind }) => kind === "atom" || kind === "quoted")) {
    return words.map(({ text }) => text).join(" ");
  }
  const isDotted = words.every((word) => word.kind === "atom" || isMark(word, "."));
  return isDotted ? `"${words.map(({ text }) => text).join("")}"` : undefined;
}

const isSame = (one: string, other: string): boolean => one.toLowerCase() === other.toLowerCase();

/**
 * Text with an `@` in angle brackets within comments, quotes and encoded words: programs that look for brackets first
 * take it for the address.
 */
function hiddenAddresses(tokens: readonly Token[]): readonly string[] {
  const hidden = decoded(
    tokens.map(({ kind, text }) => (kind === "mark" && text !== "." ? " " : text)).join(""),
  );
  return hidden
    .split("<")
    .slice(1)
    .map((piece) => piece.split(">", 1)[0] ?? "")
    .filter((piece) => piece.includes("@"))
    .map((piece) => utf8(piece.trim()) ?? piece);
}

/** Decodes encoded words (RFC 2047), whatever is around them. */
function decoded(text: string): string {
  return text.replace(/=\?[^?\s]*\?([bq])\?([^?\s]*)\?=/gi, (_, encoding: string, content: string) =>
    encoding.toLowerCase() === "b"
      ? Buffer.from(content, "base64").toString("latin1")
      : content
          .replaceAll("_", " ")
          .replace(/=([0-9a-f]{2})/gi, (_whole, hex: string) => String.fromCharCode(parseInt(hex, 16))),
  );
}

const atomText = /[A-Za-z0-9!#$%&'*+/=?^_`{|}~\x80-\xff-]+/y;

/** The closing bracket of each opening one, and what its content is. */
const brackets: Readonly<Record<string, { readonly closer: string; readonly kind: Token["kind"] }>> = {
  "(": { closer: ")", kind: "comment" },
  "[": { closer: "]", kind: "literal" },
  '"': { closer: '"', kind: "quoted" },
};

function tokensOf(body: string): readonly Token[] | undefined {
  if (/[\x00-\x08\x0a-\x1f\x7f]/.test(body)) return undefined;
  const tokens: Token[] = [];
  let at = 0;
  while (at < body.length) {
    const first = body.charAt(at);
    const bracket = brackets[first];
    atomText.lastIndex = at;
    const atom = atomText.exec(body)?.[0];
    let end = at + 1;
    if (bracket) {
      end = behindBracket(body, at, first, bracket.closer);
      if (end < 0) return undefined;
      tokens.push({ kind: bracket.kind, text: body.slice(at, end) });
    } else if (atom !== undefined) {
      end = at + atom.length;
      tokens.push({ kind: "atom", text: atom });
    } else if ("<>,:;@.".includes(first)) {
      tokens.push({ kind: "mark", text: first });
    } else if (first !== " " && first !== "\t") {
      return undefined;
    }
    at = end;
  }
  return tokens;
}

/**
 * The end of what is opened at `start`; -1 if it is never closed. Comments may be nested; a backslash escapes a
 * character.
 */
function behindBracket(body: string, start: number, opener: string, closer: string): number {
  let depth = 0;
  for (let at = start; at < body.length; at++) {
    const character = body.charAt(at);
    if (character === "\\") at++;
    else if (character === closer && at > start) depth--;
    else if (character === opener) depth++;
    if (depth === 0) return at + 1;
  }
  return -1;
}

const isMark = (token: Token | undefined, marks: string): boolean =>
  token?.kind === "mark" && marks.includes(token.text);

/** The position of the next `,`, `;` or `:` outside angle brackets, or the end. */
function elementEnd(tokens: readonly Token[], from: number): number {
  let inside = false;
  for (let at = from; at < tokens.length; at++) {
    if (isMark(tokens[at], "<")) inside = true;
    else if (isMark(tokens[at], ">")) inside = false;
    else if (!inside && isMark(tokens[at], ",;:")) return at;
  }
  return tokens.length;
}

const isGroupName = (element: readonly Token[]): boolean =>
  element.length > 0 && element.every((token) => !isMark(token, "<>@") && isHarmless(token));

/** Square brackets have no meaning in a name: other programs may read their content on its own. */
const isHarmless = ({ kind, text }: Token): boolean => kind !== "literal" || !/[<>@,;:"()\\]/.test(text);

/** `Name <address>`, where the name is anything but another address, or the address alone. */
function mailbox(element: readonly Token[]): string | undefined {
  const open = element.findIndex((token) => isMark(token, "<"));
  if (open < 0) return address(element);
  const name = element.slice(0, open);
  const inside = element.slice(open + 1, -1);
  if (!isMark(element.at(-1), ">") || [...name, ...inside].some((token) => isMark(token, "<>"))) {
    return undefined;
  }
  if (!name.every(isHarmless)) return undefined;
  const found = address(withoutRoute(inside));
  if (!name.some((token) => isMark(token, "@"))) return found;
  // Mail programs read `one@example.org <other@example.org>` in two ways.
  return found !== undefined && address(name)?.toLowerCase() === found.toLowerCase() ? found : undefined;
}

/** RFC 5322 section 4.4: `@one,@two:` before an address is ignored. */
function withoutRoute(inside: readonly Token[]): readonly Token[] {
  return isMark(inside[0], "@") ? inside.slice(inside.findIndex((token) => isMark(token, ":")) + 1) : inside;
}

function address(tokens: readonly Token[]): string | undefined {
  const at = tokens.findIndex((token) => isMark(token, "@"));
  const local = dotted(tokens.slice(0, Math.max(0, at)), ["atom", "quoted"]);
  const domain = dotted(tokens.slice(at + 1), ["atom"]) ?? literal(tokens.slice(at + 1));
  if (local === undefined || domain === undefined) return undefined;
  if (local.includes("=?")) return undefined; // encoded words are not allowed here (RFC 2047 section 5)
  const written = utf8(`${inSmtp(local)}@${domain}`);
  return written !== undefined && parseMailbox(written) ? written : undefined;
}

/** Words with single dots between them, quotes resolved. */
function dotted(tokens: readonly Token[], kinds: readonly Token["kind"][]): string | undefined {
  const isGood = tokens.every((token, index) =>
    index % 2 === 0 ? kinds.includes(token.kind) : isMark(token, "."),
  );
  if (!isGood || tokens.length % 2 === 0) return undefined;
  return tokens
    .map(({ kind, text }) => (kind === "quoted" ? text.slice(1, -1).replace(/\\(.)/g, "$1") : text))
    .join("");
}

const literal = (tokens: readonly Token[]): string | undefined =>
  tokens.length === 1 && tokens[0]?.kind === "literal" ? tokens[0].text : undefined;

/** A local part as SMTP writes it: quoted only if it needs to be (RFC 5321 section 4.1.2). */
function inSmtp(local: string): string {
  const isPlain = /^[^\s"(),.:;<>@[\\\]]+(?:\.[^\s"(),.:;<>@[\\\]]+)*$/.test(local);
  return isPlain ? local : `"${local.replace(/["\\]/g, "\\$&")}"`;
}

/** Undefined if the octets are not UTF-8. */
function utf8(octets: string): string | undefined {
  const text = Buffer.from(octets, "latin1").toString("utf8");
  return text.includes("\ufffd") ? undefined : text;
}
