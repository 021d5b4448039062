/**
 * Names of the files in SPOOL/journal/, and the lines of a done file, which says what became of a segment's records. Pure;
 * docs/spool.md, "The front journal", has both.
 */
import { crc32 } from "node:zlib";
import { isQueueId } from "./queue-id.ts";

export type JournalName =
  | { readonly kind: "segment"; readonly number: number; readonly mark: string }
  | { readonly kind: "done"; readonly number: number; readonly edition: number }
  | { readonly kind: "free"; readonly number: number };

const numbered = (number: number): string => String(number).padStart(10, "0");

export function formatJournalName(name: JournalName): string {
  switch (name.kind) {
    case "segment":
      return `${numbered(name.number)}-${name.mark}`;
    case "done":
      return `${numbered(name.number)}.${String(name.edition)}.done`;
    case "free":
      return `free-${numbered(name.number)}`;
  }
}

/** Undefined where it is none of ours. */
export function parseJournalName(name: string): JournalName | undefined {
  const segment = /^(\d{10})-([0-9A-F]{16})$/.exec(name);
  if (segment) return { kind: "segment", number: Number(segment[1]), mark: segment[2] ?? "" };
  const done = /^(\d{10})\.(0|[1-9]\d{0,2})\.done$/.exec(name);
  if (done) return { kind: "done", number: Number(done[1]), edition: Number(done[2]) };
  const free = /^free-(\d{10})$/.exec(name);
  return free ? { kind: "free", number: Number(free[1]) } : undefined;
}

/** What is known of a segment's records. */
export type DoneLine =
  /** The message is done with, or its files are in `queue/` and `messages/`. */
  | { readonly word: "done"; readonly id: string }
  /**
   * `torn`: what cannot be read at this offset was never promised. `aside`: it was, and a person had it set aside. `whole`:
   * all before it was durable.
   */
  | { readonly word: "torn" | "aside" | "whole"; readonly offset: number };

/** The line, with its end. `mark` is the segment's. */
export function formatDoneLine(line: DoneLine, mark: string): string {
  const said = `${line.word} ${line.word === "done" ? line.id : String(line.offset)}`;
  return `${said} ${lineSum(mark, said)}\n`;
}

const lineSum = (mark: string, said: string): string =>
  crc32(`${mark} ${said}`).toString(16).toUpperCase().padStart(8, "0");

/** What a done file says. A power cut may have left zeros between its lines, and parts of lines: they are passed over. */
export function parseDoneLines(text: string, mark: string): readonly DoneLine[] {
  return text.split("\n").flatMap((line) => readDoneLine(line.slice(line.lastIndexOf("\0") + 1), mark) ?? []);
}

function readDoneLine(line: string, mark: string): DoneLine | undefined {
  const [word = "", value = "", sum = "", ...more] = line.split(" ");
  if (more.length > 0 || sum !== lineSum(mark, `${word} ${value}`)) return undefined;
  if (word === "done") return isQueueId(value) ? { word, id: value } : undefined;
  if (word !== "torn" && word !== "aside" && word !== "whole") return undefined;
  return /^\d{1,8}$/.test(value) ? { word, offset: Number(value) } : undefined;
}
