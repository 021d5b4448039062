/** The file of further sender addresses: lines such as `press@example.org: user1, user2`. */
import { exitStatus, Failure } from "../../failure.ts";
import { parseMailbox } from "../../smtp/address.ts";
import type { Aliases } from "./policy.ts";

/**
 * Reads the text of `file` (its name is for the messages). Empty lines and lines that begin with "#" are passed over;
 * an address may stand on several lines. Throws one Failure that names every line that is wrong.
 */
export function parseAliases(text: string, file: string): Aliases {
  const aliases = new Map<string, Set<string>>();
  const mistakes: string[] = [];
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim();
    if (content === "" || content.startsWith("#")) continue;
    const colon = content.indexOf(":");
    const address = content.slice(0, Math.max(colon, 0)).trim();
    const list = colon < 0 ? "" : content.slice(colon + 1);
    const logins = list.split(/[\s,]+/).filter((login) => login !== "");
    if (!parseMailbox(address)?.domain || logins.length === 0) {
      mistakes.push(
        `${file}:${index + 1}: expected "address: login, login", got ${JSON.stringify(content.slice(0, 60))}; ` +
          "write the full address, a colon and who may send with it",
      );
      continue;
    }
    const known = aliases.get(address.toLowerCase()) ?? new Set();
    for (const login of logins) known.add(login.toLowerCase());
    aliases.set(address.toLowerCase(), known);
  }
  if (mistakes.length > 0) throw new Failure(exitStatus.config, mistakes.join("\n"));
  return aliases;
}
