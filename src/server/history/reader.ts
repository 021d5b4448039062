/**
 * Reads the history, whether a relay runs or not: all of it, or the lines that hold a text, or those of some messages.
 * The text is looked for before a line is parsed, in large pieces, so that a million lines take less than a second.
 */
import { open } from "node:fs/promises";
import { join } from "node:path";
import { errorCode } from "../../failure.ts";
import { type HistoryEvent, idIn, parseEvent } from "./event.ts";
import { listHistory } from "./files.ts";

/** From `since` up to before `until`, both in milliseconds since the epoch. */
export interface TimeSpan {
  readonly since: number;
  readonly until: number;
}

/** Octets read at once. Our choice: small enough for a relay that reads between its other work. */
const pieceSize = 512 * 1024;
/** A longer line is none of ours: it is skipped. */
const longestLine = 256 * 1024;

/** Every event in `span`, oldest file first. Throws the system's error. */
export async function* eventsIn(directory: string, span: TimeSpan): AsyncGenerator<HistoryEvent> {
  for await (const piece of pieces(directory, span)) yield* parsed(linesOf(piece), span);
}

/** The events that hold one of `texts`, upper and lower case being the same. */
export async function* eventsWith(
  directory: string,
  texts: readonly string[],
  span: TimeSpan,
): AsyncGenerator<HistoryEvent> {
  const wanted = texts.map(folded);
  for await (const piece of pieces(directory, span)) {
    yield* parsed(linesWith(piece, wanted), span);
  }
}

/** The events of the messages `ids`. */
export async function* eventsOf(
  directory: string,
  ids: ReadonlySet<string>,
  span: TimeSpan,
): AsyncGenerator<HistoryEvent> {
  for await (const piece of pieces(directory, span)) {
    yield* parsed(linesOfMessages(piece, ids), span);
  }
}

function* parsed(lines: Iterable<string>, { since, until }: TimeSpan): Generator<HistoryEvent> {
  for (const line of lines) {
    const event = parseEvent(line);
    if (event !== undefined && event.at >= since && event.at < until) yield event;
  }
}

/** Whole lines, with their ends, as octets: good until the next piece is asked for, which takes their place. */
async function* pieces(directory: string, { since, until }: TimeSpan): AsyncGenerator<Buffer> {
  const files = await listHistory(directory);
  for (const [index, { name, start }] of files.entries()) {
    const end = files[index + 1]?.start ?? Number.POSITIVE_INFINITY; // a file ends where the next one begins
    if (start < until && end > since) yield* piecesOf(join(directory, name));
  }
}

async function* piecesOf(path: string): AsyncGenerator<Buffer> {
  const file = await openIfThere(path);
  if (file === undefined) return;
  try {
    const room = Buffer.allocUnsafeSlow(longestLine + pieceSize);
    let kept = 0; // octets at its beginning, of a line whose end is not read yet
    for (;;) {
      const { bytesRead } = await file.read(room, kept, pieceSize, null);
      if (bytesRead === 0) break;
      const all = room.subarray(0, kept + bytesRead);
      const end = all.lastIndexOf(0x0a) + 1;
      if (end > 0) yield all.subarray(0, end);
      kept = all.length - end > longestLine ? 0 : all.length - end;
      room.copyWithin(0, end, end + kept);
    }
  } finally {
    await file.close();
  }
}

async function openIfThere(path: string) {
  try {
    return await open(path, "r");
  } catch (error) {
    if (errorCode(error) === "ENOENT") return undefined; // purged meanwhile
    throw error;
  }
}

function* linesOf(piece: Buffer): Generator<string> {
  const text = piece.toString("utf8");
  for (
    let start = 0, end = text.indexOf("\n");
    end !== -1;
    start = end + 1, end = text.indexOf("\n", start)
  ) {
    yield text.slice(start, end);
  }
}

/** As it stands in a line, for a comparison octet by octet; what is no ASCII is folded in the same way on both sides. */
const folded = (text: string): string =>
  Buffer.from(JSON.stringify(text).slice(1, -1)).toString("latin1").toLowerCase();

/** The lines of `piece` that hold one of `wanted`, each once, in order. */
function* linesWith(piece: Buffer, wanted: readonly string[]): Generator<string> {
  const text = piece.toString("latin1").toLowerCase();
  const found = new Set<number>();
  for (const one of wanted) {
    for (let at = text.indexOf(one); at !== -1; at = text.indexOf(one, endOfLine(piece, at))) {
      found.add(text.lastIndexOf("\n", at) + 1);
    }
  }
  for (const start of [...found].sort((one, other) => one - other)) {
    yield piece.toString("utf8", start, endOfLine(piece, start));
  }
}

const endOfLine = (piece: Buffer, from: number): number => piece.indexOf(0x0a, from);

/** Messages up to which each is looked for by itself, which takes less than a look at every line. Our choice. */
const fewMessages = 8;

function* linesOfMessages(piece: Buffer, ids: ReadonlySet<string>): Generator<string> {
  if (ids.size <= fewMessages) yield* linesNaming(piece, ids);
  else yield* linesBeginningWith(piece, ids);
}

/** A quotation mark within a field is escaped, so that this stands nowhere else in a line. */
const named = (id: string): string => `,"id":"${id}"`;

function* linesNaming(piece: Buffer, ids: ReadonlySet<string>): Generator<string> {
  const starts: number[] = [];
  for (const id of ids) {
    const wanted = named(id);
    for (let at = piece.indexOf(wanted); at !== -1; at = piece.indexOf(wanted, endOfLine(piece, at))) {
      starts.push(piece.lastIndexOf(0x0a, at) + 1);
    }
  }
  for (const start of starts.sort((one, other) => one - other)) {
    yield piece.toString("utf8", start, endOfLine(piece, start));
  }
}

function* linesBeginningWith(piece: Buffer, ids: ReadonlySet<string>): Generator<string> {
  const text = piece.toString("latin1");
  for (
    let start = 0, end = text.indexOf("\n");
    end !== -1;
    start = end + 1, end = text.indexOf("\n", start)
  ) {
    const id = idIn(text.slice(start, Math.min(start + 80, end)));
    if (id !== undefined && ids.has(id)) yield piece.toString("utf8", start, end);
  }
}
