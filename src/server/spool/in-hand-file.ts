/**
 * SPOOL/in-hand: which message was being worked on when the process came to an unclean end, so that one that ends the
 * relay at each start can be told from the others. Written in place and never fsynced: a kill leaves what was written, and
 * what a power cut takes was no message's fault. A clean end removes it.
 *
 * Its first line is the queue ID in hand, or blanks; each further one is an ID that was in hand at an unclean end, and at
 * how many in a row.
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, rmSync, writeSync } from "node:fs";
import { errorCode } from "../../failure.ts";
import { isQueueId } from "./queue-id.ts";

export interface InHandFile {
  /** Those that were in hand at two unclean ends in a row, or more. */
  readonly culprits: readonly string[];
  /** Those that were at the last one, for the first time. */
  readonly suspects: readonly string[];
  /** Notes the message in hand, "" where it is none. A disk that refuses is passed over: no delivery may fail for it. */
  readonly mark: (id: string) => void;
  /** The work on the message came to a good end, or it is held: what was noted of it no longer counts. */
  readonly clear: (id: string) => void;
  /** `clean` where the process ends as it should. */
  readonly close: (clean: boolean) => void;
}

/** Unclean ends in a row after which a message is held. */
const enough = 2;

/** Letters of a queue ID. */
const width = 12;
const lineOf = (id: string): string => `${id.padEnd(width)}\n`;

/** Reads what the process before left, and begins anew. `path` lies in a spool that is ours. Throws the system's error. */
export function openInHand(path: string): InHandFile {
  const { inHand, counts } = parse(readIfThere(path));
  if (inHand !== undefined) counts.set(inHand, (counts.get(inHand) ?? 0) + 1);
  const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;
  const file = openSync(path, O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  let works = true;
  let closed = false;

  const attempt = (write: () => void): void => {
    if (!works || closed) return;
    try {
      write();
    } catch (error) {
      if (errorCode(error) === "") throw error;
      works = false;
    }
  };
  const rewrite = (): void =>
    attempt(() => {
      const text = [lineOf(""), ...[...counts].map(([id, count]) => `${id} ${String(count)}\n`)].join("");
      writeSync(file, text, 0);
      ftruncateSync(file, Buffer.byteLength(text));
    });

  rewrite();
  return {
    culprits: [...counts].flatMap(([id, count]) => (count >= enough ? [id] : [])),
    suspects: inHand !== undefined && counts.get(inHand) === 1 ? [inHand] : [],
    mark: (id) => attempt(() => void writeSync(file, lineOf(id), 0)),
    clear(id) {
      if (counts.delete(id)) rewrite();
    },
    close(clean) {
      if (closed) return;
      closed = true;
      closeSync(file);
      if (clean) rmSync(path, { force: true });
    },
  };
}

function readIfThere(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return "";
    throw error;
  }
}

/** What is no line of ours, after a power cut for example, is passed over. */
function parse(text: string): { readonly inHand: string | undefined; readonly counts: Map<string, number> } {
  const [first = "", ...lines] = text.split("\n");
  const counts = new Map<string, number>();
  for (const line of lines) {
    const [id = "", count = ""] = line.split(" ");
    if (isQueueId(id) && /^[1-9]\d{0,3}$/.test(count)) counts.set(id, Number(count));
  }
  const inHand = first.trimEnd();
  return { inHand: isQueueId(inHand) ? inHand : undefined, counts };
}
