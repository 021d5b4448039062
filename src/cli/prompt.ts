/**
 * Questions on the terminal: for secrets, which are not shown while they are typed, and whether to go on. Secrets are
 * asked for on the terminal itself, so that standard input and output may be pipes.
 */
import { closeSync, openSync, writeSync } from "node:fs";
import type { Interface } from "node:readline/promises";
import { ReadStream } from "node:tty";
import { errorCode, exitStatus, Failure } from "../failure.ts";

export interface Terminal {
  /** Shows `question` and gives the line that is typed, which may be empty. Throws a Failure on Ctrl-C and Ctrl-D. */
  askSecret(question: string): Promise<string>;
  close(): void;
}

/** What a shell reports of a program that Ctrl-C ended. */
const interrupted = 130;

/** Opens the controlling terminal. Throws a Failure where there is none. */
export function openTerminal(advice: string): Terminal {
  const input = new ReadStream(openDevice("r", advice));
  const output = openDevice("w", advice);
  let typing = emptyLine;
  let ahead: Buffer = Buffer.alloc(0); // typed or pasted before it was asked for

  /** Resolves with the ended line. */
  function readLine(): Promise<Line> {
    return new Promise((resolve, reject) => {
      const take = (octets: Buffer): void => {
        for (const [at, octet] of octets.entries()) {
          typing = typeKey(typing, octet);
          if (typing.end === undefined) continue;
          ahead = octets.subarray(at + 1);
          finish(() => resolve(typing));
          return;
        }
      };
      const close = (): void => finish(() => resolve({ ...typing, end: "closed" }));
      const finish = (settle: () => void): void => {
        input.off("data", take).off("end", close).off("error", reject).pause();
        settle();
      };
      input.on("data", take).on("end", close).on("error", reject).resume();
      const before = ahead;
      ahead = Buffer.alloc(0);
      take(before);
    });
  }

  return {
    async askSecret(question) {
      typing = emptyLine;
      input.setRawMode(true);
      try {
        writeSync(output, question);
        const { octets, end } = await readLine();
        if (end === "interrupted") throw new Failure(interrupted, "interrupted");
        if (end === "closed") throw new Failure(exitStatus.temporary, "no password was typed");
        return new TextDecoder().decode(octets);
      } finally {
        input.setRawMode(false);
        writeSync(output, "\n");
      }
    },
    close() {
      input.destroy();
      closeSync(output);
    },
  };
}

function openDevice(mode: "r" | "w", advice: string): number {
  try {
    return openSync("/dev/tty", mode);
  } catch (error) {
    if (errorCode(error) === "") throw error;
    throw new Failure(exitStatus.temporary, `there is no terminal to ask on; ${advice}`);
  }
}

/** A line that is being typed, in UTF-8. */
export interface Line {
  readonly octets: Uint8Array;
  /** Inside the sequence that a key such as an arrow sends. */
  readonly escape: "" | "begun" | "inside";
  readonly end?: "entered" | "interrupted" | "closed";
}

export const emptyLine: Line = { octets: new Uint8Array(), escape: "" };

/** The line after one more octet: erasing keys work as in a terminal's own line, other control keys do nothing. */
export function typeKey(line: Line, octet: number): Line {
  const { octets, escape: sequence } = line;
  if (sequence === "begun") return { octets, escape: octet === 0x5b || octet === 0x4f ? "inside" : "" };
  if (sequence === "inside") return { octets, escape: octet >= 0x40 && octet <= 0x7e ? "" : "inside" };
  switch (octet) {
    case 0x03: // Ctrl-C
      return { ...line, end: "interrupted" };
    case 0x04: // Ctrl-D
      return { ...line, end: octets.length === 0 ? "closed" : "entered" };
    case 0x0a:
    case 0x0d:
      return { ...line, end: "entered" };
    case 0x08:
    case 0x7f: // Backspace
      return { ...line, octets: withoutLast(octets) };
    case 0x15: // Ctrl-U
      return { ...line, octets: new Uint8Array() };
    case 0x1b:
      return { ...line, escape: "begun" };
    default:
      return octet < 0x20 ? line : { ...line, octets: Uint8Array.of(...octets, octet) };
  }
}

/** Without its last character, which may have several octets (RFC 3629 section 3). */
function withoutLast(octets: Uint8Array): Uint8Array {
  const last = octets.findLastIndex((octet) => (octet & 0xc0) !== 0x80);
  return octets.subarray(0, Math.max(last, 0));
}

/** Whether the answer is yes. Throws a Failure where there is no terminal; it names --yes as the way to `what`. */
export async function isConfirmed(question: string, what: string): Promise<boolean> {
  if (!process.stdin.isTTY || !process.stderr.isTTY) {
    throw new Failure(exitStatus.usage, `there is no terminal to ask on; say --yes to ${what}`);
  }
  const { createInterface } = await import("node:readline/promises");
  const terminal = createInterface({ input: process.stdin, output: process.stderr });
  try {
    const answer = await terminal.question(`${question} [y/N] `, { signal: interruption(terminal) });
    return /^y(es)?$/i.test(answer.trim());
  } catch (error) {
    if (!(error instanceof Error) || error.name !== "AbortError") throw error;
    process.stderr.write("\n");
    return false;
  } finally {
    terminal.close();
  }
}

/** Ctrl-C and Ctrl-D say no. */
function interruption(terminal: Interface): AbortSignal {
  const abort = new AbortController();
  terminal.on("SIGINT", () => abort.abort()).on("close", () => abort.abort());
  return abort.signal;
}
