/** Whether a password file would let somebody in, and why not: for people who ask, without threads or memory. */
import { canonicalLogin, type EntryLine, isEntry, loginKey, type PasswordLine } from "./passwordfile.ts";
import { longestPassword } from "./scheme.ts";
import { verifyStored } from "./stored.ts";

/** The line that lets `name` in with `password`, or why none does. `domain` is "" where it is not known. */
export async function admit(
  lines: readonly PasswordLine[],
  name: string,
  password: string,
  domain: string,
): Promise<EntryLine | string> {
  const hopeless = whyNone(lines, name, domain) || unfitPassword(password);
  if (hopeless !== "") return hopeless;
  const login = loginKey(name, domain);
  const names = domain === "" ? [login] : [`${login}@${domain}`, login];
  for (const line of linesOf(lines, name, domain).filter(isEntry))
    if (await verifyStored(line.stored, { password, names })) return line;
  return "wrong password";
}

/** Why no password at all lets a name in; "" where one might. */
export function whyNone(lines: readonly PasswordLine[], name: string, domain: string): string {
  if (domain !== "" && canonicalLogin(name, domain) === undefined) return "the login is of another domain";
  const own = linesOf(lines, name, domain);
  if (own.some(isEntry)) return "";
  return (
    own.flatMap((line) => (isEntry(line) ? [] : `line ${line.number}: ${line.reason}`)).join(", ") ||
    "no line"
  );
}

/** Why a password is refused without being checked, or "". */
export function unfitPassword(password: string): string {
  if (password === "") return "empty password"; // RFC 4616 section 2 wants one octet at least
  if (Buffer.byteLength(password) > longestPassword) return "password too long";
  return password.includes("\0") ? "password with a NUL" : "";
}

function linesOf(lines: readonly PasswordLine[], name: string, domain: string): readonly PasswordLine[] {
  const wanted = loginKey(name, domain);
  return lines.filter(({ login }) => loginKey(login, domain) === wanted);
}
