/** Who may log in by a password file's text. */
import { readTable } from "../../src/passwd/login-table.ts";
import { type Logins, loginsIn } from "../../src/passwd/logins.ts";

export function loginsOf(text: string, domain = "example.org"): Logins {
  return loginsIn(readTable(new Uint8Array(Buffer.from(text)), domain).table, domain);
}
