/**
 * What the run shows: each line behind the hint that tells what it is, on its stream, or not at all. The hints and
 * their order are swaks'.
 */

import type { OutputPlan } from "../plan.ts";

/** Writes octets; they are written when it returns. */
export type WriteOctets = (octets: Uint8Array) => void;

/** `terminal`: it is a terminal, which must not obey control characters of a server. */
export interface OutputStream {
  readonly write: WriteOctets;
  readonly terminal: boolean;
}

export interface Transcript {
  /** Octets that go out, with their line ends; they are shown line by line. */
  sent(octets: Uint8Array, secure: boolean): void;
  /** A message; only its number of lines where the plan says so. */
  message(octets: Uint8Array, secure: boolean): void;
  /** A reply's lines. */
  received(lines: readonly Uint8Array[], expected: boolean, secure: boolean): void;
  /** What was sent or received, octet by octet; shown where the plan says so. */
  dump(direction: "sent" | "received", octets: Uint8Array): void;
  info(text: string): void;
  error(text: string): void;
  /** A line of --explain. */
  explain(text: string): void;
}

interface LineKind {
  /** With the blanks behind it. */
  readonly hint: string;
  readonly group: "send" | "receive" | "info";
  /** --silent lets it through, and everything behind it. */
  readonly trouble: boolean;
}

const kinds = {
  sent: { hint: " -> ", group: "send", trouble: false },
  sentSecure: { hint: " ~> ", group: "send", trouble: false },
  received: { hint: "<-  ", group: "receive", trouble: false },
  receivedSecure: { hint: "<~  ", group: "receive", trouble: false },
  refused: { hint: "<** ", group: "receive", trouble: true },
  refusedSecure: { hint: "<~* ", group: "receive", trouble: true },
  dumpSent: { hint: "  > ", group: "send", trouble: false },
  dumpReceived: { hint: "<   ", group: "receive", trouble: false },
  info: { hint: "=== ", group: "info", trouble: false },
  explained: { hint: "  # ", group: "info", trouble: false },
  error: { hint: "*** ", group: "info", trouble: true },
} as const satisfies Readonly<Record<string, LineKind>>;

const lineFeed = Buffer.from("\n");

/** Writes to `stdout` and `stderr` what `output` lets through. */
export function openTranscript(output: OutputPlan, stdout: OutputStream, stderr: OutputStream): Transcript {
  let troubled = false;

  function isShown({ group, trouble }: LineKind): boolean {
    if (trouble) troubled = true;
    if (output.hide.all || output.silent >= 3) return false;
    if (output.silent === 2) return trouble && !hidden(group, trouble);
    if (output.silent === 1 && !troubled) return false;
    return !hidden(group, trouble);
  }

  /** Errors of the probe itself are never hidden as information. */
  function hidden(group: LineKind["group"], trouble: boolean): boolean {
    return output.hide[group] && !(group === "info" && trouble);
  }

  function show(name: keyof typeof kinds, lines: readonly Uint8Array[]): void {
    const kind = kinds[name];
    if (!isShown(kind)) return;
    const hint = Buffer.from(output.hints[kind.group] ? kind.hint : "");
    const stream = name === "error" ? stderr : stdout;
    stream.write(Buffer.concat(lines.flatMap((line) => [hint, readable(line, stream), lineFeed])));
  }

  return {
    sent(octets, secure) {
      show(secure ? "sentSecure" : "sent", linesOf(octets));
    },
    message(octets, secure) {
      const shown = output.suppressData ? [Buffer.from(`${countLines(octets)} lines sent`)] : linesOf(octets);
      show(secure ? "sentSecure" : "sent", shown);
    },
    received(lines, expected, secure) {
      if (expected) show(secure ? "receivedSecure" : "received", lines);
      else show(secure ? "refusedSecure" : "refused", lines);
    },
    dump(direction, octets) {
      if (!output.raw) return;
      const lines = hexdump(octets).map((line) => Buffer.from(line));
      show(direction === "sent" ? "dumpSent" : "dumpReceived", lines);
    },
    info: (text) =>
      show(
        "info",
        text.split("\n").map((line) => Buffer.from(line)),
      ),
    error: (text) =>
      show(
        "error",
        text.split("\n").map((line) => Buffer.from(line)),
      ),
    explain(text) {
      if (output.explain) show("explained", [Buffer.from(text)]);
    },
  };
}

/** Without the last line's end; the other lines keep their CR, as swaks shows them. */
function linesOf(octets: Uint8Array): readonly Uint8Array[] {
  const text = Buffer.from(octets)
    .toString("latin1")
    .replace(/\r?\n$/, "");
  return text.split("\n").map((line) => Buffer.from(line, "latin1"));
}

function countLines(octets: Uint8Array): number {
  let lines = octets.at(-1) === 0x0a ? 0 : 1;
  for (const octet of octets) if (octet === 0x0a) lines++;
  return lines;
}

/** Unchanged into files and pipes; on a terminal without control characters. */
function readable(line: Uint8Array, { terminal }: OutputStream): Uint8Array {
  if (!terminal) return line;
  const text = Buffer.from(line).toString("utf8").replace(/\r$/, "");
  const escaped = text.replace(/\p{Cc}/gu, (control) =>
    control === "\t" ? control : `\\x${control.charCodeAt(0).toString(16).padStart(2, "0")}`,
  );
  return Buffer.from(escaped);
}

/** Octets as swaks' --show-raw-text shows them: 16 to a line, counted in decimal. */

/** Lines such as `0000: 32 32 30 20  53 45 52 56  45 52 20 45  53 4D 54 50    220.SERVER.ESMTP`. */
function hexdump(octets: Uint8Array): readonly string[] {
  return Array.from({ length: Math.ceil(octets.length / 16) }, (_, row) => {
    const line = octets.subarray(row * 16, row * 16 + 16);
    const fours = [0, 4, 8, 12].map((from) =>
      [...line.subarray(from, from + 4)]
        .map((octet) => octet.toString(16).toUpperCase().padStart(2, "0"))
        .join(" "),
    );
    const text = [...line]
      .map((octet) => (octet > 0x20 && octet < 0x7f ? String.fromCharCode(octet) : "."))
      .join("");
    return `${String(row * 16).padStart(4, "0")}: ${fours.map((four) => four.padEnd(11)).join("  ")}    ${text.padEnd(16)}`;
  });
}
