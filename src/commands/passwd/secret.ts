/** Where the password comes from: an option, standard input, the terminal or chance. */
import { randomInt } from "node:crypto";
import { openTerminal } from "../../cli/prompt.ts";
import { exitStatus, Failure } from "../../failure.ts";
import { longestPassword } from "../../passwd/scheme.ts";
import type { PasswdOptions } from "./options.ts";

/** doveadm's status after three times two passwords that differ. */
const differed = 1;

/** Octets of standard input that are read: more than two passwords can have. */
const enough = 4 * longestPassword;

const advice = "use --stdin";

export interface NewPassword {
  readonly password: string;
  readonly generated: boolean;
}

/**
 * A password to be kept. It is asked for twice, on the terminal or, where standard input is none, in two lines of it.
 * Throws a Failure where there is no password, an empty one that nobody meant, or none that could be typed twice.
 */
export async function newPassword({ plaintext, stdin, generate }: PasswdOptions): Promise<NewPassword> {
  if (generate) return { password: makePassphrase(randomInt), generated: true };
  return { password: plaintext ?? nonEmpty(await askTwice(stdin)), generated: false };
}

/** A password to be tried, asked for once. */
export async function knownPassword({ plaintext, stdin }: PasswdOptions, question: string): Promise<string> {
  if (plaintext !== undefined) return plaintext;
  if (stdin || process.stdin.isTTY !== true) return lineOf(await readStandardInput(1), 0);
  return askOnce(question);
}

/** Asks on the terminal, wherever standard input comes from. */
export async function askOnce(question: string): Promise<string> {
  const terminal = openTerminal(advice);
  try {
    return await terminal.askSecret(question);
  } finally {
    terminal.close();
  }
}

async function askTwice(once: boolean): Promise<string> {
  if (once) return lineOf(await readStandardInput(1), 0);
  if (process.stdin.isTTY !== true) {
    const lines = await readStandardInput(2);
    if (lineOf(lines, 0) === lineOf(lines, 1)) return lineOf(lines, 0);
    throw new Failure(differed, "the two lines of standard input are not the same password");
  }
  const terminal = openTerminal(advice);
  try {
    for (let time = 0; time < 3; time += 1) {
      const password = await terminal.askSecret("Enter new password: ");
      if ((await terminal.askSecret("Retype new password: ")) === password) return password;
      process.stderr.write("Error: Passwords don't match!\n");
    }
  } finally {
    terminal.close();
  }
  throw new Failure(differed, "three times two passwords that differ");
}

function nonEmpty(password: string): string {
  if (password !== "") return password;
  throw new Failure(exitStatus.temporary, "the password is empty; if that is meant, say -p ''");
}

function lineOf(lines: readonly string[], at: number): string {
  const line = lines[at];
  if (line !== undefined) return line;
  const expected =
    at === 0 ? "no password on it" : "the password only once; give it twice, or once with --stdin";
  throw new Failure(exitStatus.temporary, `standard input has ${expected}`);
}

/** The first `count` lines of standard input, without their ends; fewer where it ends before. */
async function readStandardInput(count: number): Promise<readonly string[]> {
  const chunks: Buffer[] = [];
  let ends = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    chunks.push(chunk);
    ends += chunk.filter((octet) => octet === 0x0a).length;
    if (ends >= count || chunks.reduce((sum, { length }) => sum + length, 0) > enough) break;
  }
  const lines = decode(Buffer.concat(chunks)).split("\n");
  const whole = lines.at(-1) === "" ? lines.slice(0, -1) : lines;
  return whole.map((line) => line.replace(/\r$/, ""));
}

function decode(octets: Buffer): string {
  try {
    return new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(octets);
  } catch (error) {
    if (!(error instanceof TypeError)) throw error;
    throw new Failure(exitStatus.temporary, "the password on standard input is not UTF-8", { cause: error });
  }
}

/**
 * For passwords to be read aloud and typed: lower case, without the letters that are taken for others or for digits.
 */
const clearLetters = "abcdefghjkmnpqrstuvwxyz";

/**
 * Four groups of five letters: `khgwb-xtqpr-nvmze-cdaub`, ninety bits. `below(n)` gives an unguessable whole number
 * from 0 to n - 1, such as `randomInt` of node:crypto.
 */
export function makePassphrase(below: (limit: number) => number): string {
  const group = (): string =>
    Array.from({ length: 5 }, () => clearLetters.charAt(below(clearLetters.length))).join("");
  return Array.from({ length: 4 }, group).join("-");
}
