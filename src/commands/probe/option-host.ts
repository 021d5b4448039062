/** What reading the probe's options needs of this host: files, standard input, the clock, the resolver. */
import { readdirSync, readFileSync, writeFileSync, writeSync } from "node:fs";
import { hostname, userInfo } from "node:os";
import { isatty } from "node:tty";
import { errorCode } from "../../failure.ts";
import { localDate, messageId } from "../../probe/message.ts";
import { userInputOver } from "../../probe/options/answers.ts";
import type { OptionDependencies } from "../../probe/options/parse.ts";
import { swaks, versionText } from "./version.ts";

/** `route` finds the host that takes mail for a domain. */
export function optionDependencies(
  argv: readonly string[],
  route: OptionDependencies["route"],
): OptionDependencies {
  const { env } = process;
  const now = Date.now();
  const host = fullName(hostname(), readIfThere("/etc/hosts") ?? "");
  const { username, homedir } = userInfo();
  return {
    argv,
    environment: env,
    readFile: (path) => readFileSync(path),
    list,
    create: (path) => writeFileSync(path, ""),
    user: userInputOver({
      read: standardInput(),
      write: (text) => void writeSync(process.stdout.fd, text),
      terminal: isatty(0), // without the stream, which most runs need not have
      askSecret,
    }),
    names: { host, account: username, ...(env["LOGNAME"] ? { logname: env["LOGNAME"] } : {}) },
    programNames: {
      program: "tpa-submit probe",
      mailer: `swaks v${swaks} jetmore.org/john/code/swaks/`,
    },
    version: versionText,
    tokens: {
      date: localDate(now),
      messageId: messageId(now, process.pid, host),
      version: swaks,
      run: String(process.pid),
    },
    terminal: isatty(2),
    services: () => readIfThere("/etc/services") ?? "",
    netrc: () => readIfThere(`${env["HOME"] ?? homedir}/.netrc`),
    route,
  };
}

export function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}

function list(path: string): readonly string[] | undefined {
  try {
    return readdirSync(path);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    return undefined;
  }
}

/** Standard input, opened at the first read and held only during one, so that it keeps no process alive. */
function standardInput(): () => Promise<Uint8Array | undefined> {
  let chunks: AsyncIterator<Buffer, undefined> | undefined;
  return async () => {
    const isFile = !("ref" in process.stdin); // a file, or /dev/null, keeps no process alive
    chunks ??= process.stdin[Symbol.asyncIterator]();
    if (!isFile) process.stdin.ref();
    const { value } = await chunks.next();
    if (!isFile) process.stdin.unref();
    return value;
  };
}

async function askSecret(question: string): Promise<string> {
  const { openTerminal } = await import("../../cli/prompt.ts");
  const terminal = openTerminal("give the password with --auth-password-file");
  try {
    return await terminal.askSecret(question);
  } finally {
    terminal.close();
  }
}

/**
 * This host's name with its domain, as gethostbyname(3) would find it in /etc/hosts: `name` itself where it has a dot
 * or `hosts` does not know more.
 */
export function fullName(name: string, hosts: string): string {
  if (name.includes(".")) return name;
  for (const line of hosts.split("\n")) {
    const [, first, ...others] = line.replace(/#.*/, "").trim().split(/\s+/);
    if (first !== undefined && others.includes(name)) return first;
  }
  return name;
}
