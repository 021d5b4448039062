/** Whether a password file would let somebody in, and why not: for people who ask, without threads or memory. */
import { type EntryLine, isEntry, loginKey, type PasswordLine } from "./passwordfile.ts";
import { verifyStored } from "./stored.ts";

/** The lines that a name stands for. */
export function linesOf(
  lines: readonly PasswordLine[],
  name: string,
  domain: string,
): readonly PasswordLine[] {
  const wanted = loginKey(name, domain);
  return lines.filter(({ login }) => loginKey(login, domain) === wanted);
}

/** The line that lets `name` in with `password`, or why none does. */
export async function admit(
  lines: readonly PasswordLine[],
  name: string,
  password: string,
  domain: string,
): Promise<EntryLine | string> {
  const own = linesOf(lines, name, domain);
  const login = loginKey(name, domain);
  const names = domain === "" ? [login] : [`${login}@${domain}`, login];
  for (const line of own.filter(isEntry))
    if (await verifyStored(line.stored, { password, names })) return line;
  return own.some(isEntry) ? "wrong password" : whyNone(own);
}

/** Why no password at all lets a name in, by its lines; "" where one might. */
export function whyNone(own: readonly PasswordLine[]): string {
  if (own.some(isEntry)) return "";
  return (
    own.flatMap((line) => (isEntry(line) ? [] : `line ${line.number}: ${line.reason}`)).join(", ") ||
    "no line"
  );
}
