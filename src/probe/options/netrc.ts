/** Logins from a .netrc file, as ftp(1) describes it: tokens between blanks, quoted ones too, macros skipped. */

export interface Login {
  readonly user: string;
  readonly password: string;
}

/**
 * The first entry for `machine`, with this `user` if one is named; else the default entry. Undefined where none fits.
 */
export function lookUp(netrc: string, machine: string, user: string | undefined): Login | undefined {
  const entry = entriesOf(netrc).find(
    ({ machine: name, login }) =>
      (name === undefined || name === machine) && (user === undefined || login === user),
  );
  return entry && { user: entry.login ?? "", password: entry.password ?? "" };
}

interface Entry {
  /** Absent: the default, for all machines. */
  readonly machine?: string;
  login?: string;
  password?: string;
}

function entriesOf(netrc: string): readonly Entry[] {
  const entries: Entry[] = [];
  const text = netrc.replace(/^macdef[^\n]*\n(?:[^\n]+\n)*/gm, "");
  const tokens = (text.match(/"(?:[^"\\]|\\.)*"|\S+/g) ?? []).map(unquoted);
  for (let at = 0; at < tokens.length; at++) {
    const token = tokens[at];
    const entry = entries.at(-1);
    if (token === "default") entries.push({});
    else if (token === "machine") entries.push({ machine: tokens[++at] ?? "" });
    else if (token === "login" && entry) entry.login = tokens[++at] ?? "";
    else if (token === "password" && entry) entry.password = tokens[++at] ?? "";
    else if (token === "account") at++;
  }
  return entries;
}

const unquoted = (token: string): string =>
  token.startsWith('"') ? token.slice(1, -1).replace(/\\(.)/gs, "$1") : token;
