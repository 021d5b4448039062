/**
 * Recipients without a domain, by a file of aliases as aliases(5) has it: `root: admin@example.org, user1`. Only addresses and
 * names may stand behind the colon: nothing is delivered on this host, so there are no programs, files and lists.
 */
import { parseMailbox } from "../../smtp/address.ts";

/** Names in lower case to what they stand for. */
export type LocalAliases = ReadonlyMap<string, readonly string[]>;

export interface ReadAliases {
  readonly aliases: LocalAliases;
  /** What is passed over, a line each: `FILE:LINE: …`. */
  readonly ignored: readonly string[];
}

/** Reads the text of `file`, whose name is for the messages. A line that begins with a blank goes on with the one before. */
export function readLocalAliases(text: string, file: string): ReadAliases {
  const aliases = new Map<string, readonly string[]>();
  const ignored: string[] = [];
  for (const { number, content } of logicalLines(text)) {
    const colon = content.indexOf(":");
    const name = unquoted(content.slice(0, Math.max(colon, 0)).trim()).toLowerCase();
    const targets = colon < 0 ? [] : targetsIn(content.slice(colon + 1));
    const good = targets.filter(isUsable);
    const bad = targets.find((target) => !isUsable(target));
    const where = `${file}:${number}: `;
    if (name === "" || targets.length === 0) ignored.push(`${where}expected "name: address, address"`);
    else if (bad !== undefined) {
      ignored.push(
        `${where}${JSON.stringify(bad.slice(0, 60))} is neither an address nor a name, and is passed over`,
      );
    }
    if (name !== "" && good.length > 0) aliases.set(name, good);
  }
  return { aliases, ignored };
}

/** Names that a name may lead to, one after the other. Our choice. */
const deepest = 20;

/**
 * The addresses of a recipient without a domain, or itself with one: by `aliases`, otherwise in `domain`. A name that leads to
 * itself is the one in the domain; `\name` is not looked up.
 */
export function expandRecipient(recipient: string, aliases: LocalAliases, domain: string): readonly string[] {
  const found = new Set<string>();
  const visit = (target: string, above: readonly string[]): void => {
    const name = target.replace(/^\\/, "");
    const next = target === name ? aliases.get(name.toLowerCase()) : undefined;
    if (hasDomain(name)) found.add(name);
    else if (next === undefined || above.length >= deepest || above.includes(name.toLowerCase())) {
      found.add(`${name}@${domain}`);
    } else for (const one of next) visit(one, [...above, name.toLowerCase()]);
  };
  visit(recipient, []);
  return [...found];
}

const hasDomain = (address: string): boolean => parseMailbox(address)?.domain !== "" && address.includes("@");

const isUsable = (target: string): boolean =>
  hasDomain(target) ? parseMailbox(target) !== undefined : /^\\?[A-Za-z0-9._+-]+$/.test(target);

const unquoted = (name: string): string => name.replace(/^"(.*)"$/, "$1");

/** What stands between the commas, which may be in quotes. */
function targetsIn(list: string): readonly string[] {
  const parts: string[] = [];
  let part = "";
  let isQuoted = false;
  for (const sign of list) {
    if (sign === '"') isQuoted = !isQuoted;
    if (sign === "," && !isQuoted) {
      parts.push(part);
      part = "";
    } else part += sign;
  }
  return [...parts, part].map((one) => unquoted(one.trim())).filter((one) => one !== "");
}

/** The lines that say something, with those that continue them. */
function logicalLines(text: string): readonly { readonly number: number; readonly content: string }[] {
  const lines: { number: number; content: string }[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    if (line.trim() === "" || line.trimStart().startsWith("#")) continue;
    const last = lines.at(-1);
    if (/^[ \t]/.test(line) && last) last.content += ` ${line.trim()}`;
    else lines.push({ number: index + 1, content: line.trim() });
  }
  return lines;
}
