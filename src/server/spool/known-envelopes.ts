/**
 * The envelopes of a spool at work, in memory as the texts that its files have: who lists a long queue need not read as many
 * files. The files are the truth. What is not certain stands here by its ID alone, and is to be read there.
 */

import type { Envelope } from "./envelope.ts";
import type { Damaged } from "./envelope-file.ts";
import { scanPart } from "./envelope-scan.ts";
import { queueIdLength } from "./queue-id.ts";

/** What is known at one moment. */
export interface EnvelopeSnapshot {
  readonly messages: number;
  /** Whether they come in the order of their IDs. */
  readonly isSorted: boolean;
  /**
   * Each message as its ID, then its text unless that is to be read, then an octet 0, which no text has; so many in a piece as
   * are work for one turn. Between two pieces messages may come, go and change: each of those that stay is there once.
   */
  readonly pieces: () => Iterable<string>;
}

export interface KnownEnvelopes {
  /** From now on the spool has `text` for `id`; undefined where it must be read to know. */
  put(id: string, text: string | undefined): void;
  /** The same of what was read a while ago: what was put or removed since stands. */
  found(id: string, text: string | undefined): void;
  /** The message is gone. Gives what puts it back. */
  remove(id: string): () => void;
  /** From now on all is found that there was at the start. */
  complete(): void;
  /** From now on nothing is known. */
  forget(): void;
  /** Undefined where too little is known, so that the files are read sooner. */
  snapshot(): EnvelopeSnapshot | undefined;
}

/** Characters of all texts. Our choice, like the others here: some hundred thousand messages. */
const mostCharacters = 128 * 1024 * 1024;

/** IDs without a text that are still worth an answer. */
const mostBare = 1_000;

/** Characters of a piece: some 150 messages. */
const inPiece = 64 * 1024;

export function newKnownEnvelopes(most = mostCharacters): KnownEnvelopes {
  const texts = new Map<string, string | undefined>();
  let characters = 0;
  let bare = 0;
  /** While not all is found yet: what was put or removed. */
  let settled: Set<string> | undefined = new Set();
  let isForgotten = false;
  /** Whether each came behind those before it. */
  let isSorted = true;
  let last = "";

  function set(id: string, text: string | undefined): void {
    if (isForgotten) return;
    if (texts.has(id)) count(texts.get(id), -1);
    else if (texts.size === 0) isSorted = true;
    else if (id < last) isSorted = false;
    if (!texts.has(id)) last = id;
    const kept = text !== undefined && characters + text.length <= most ? text : undefined;
    texts.set(id, kept);
    count(kept, 1);
  }

  function count(text: string | undefined, by: 1 | -1): void {
    if (text === undefined) bare += by;
    else characters += by * text.length;
  }

  function* pieces(): Generator<string> {
    let piece = "";
    let left = texts.size; // what comes meanwhile does not make it longer
    for (const [id, text] of texts) {
      if (left-- <= 0) break;
      piece += `${id}${text ?? ""}\0`;
      if (piece.length < inPiece) continue;
      yield piece;
      piece = "";
    }
    if (piece !== "") yield piece;
  }

  return {
    put(id, text) {
      settled?.add(id);
      set(id, text);
    },
    found(id, text) {
      if (settled?.has(id) === false) set(id, text);
    },
    remove(id) {
      settled?.add(id);
      const isThere = texts.has(id);
      const text = texts.get(id);
      if (isThere) count(text, -1);
      texts.delete(id);
      return () => {
        if (isThere) set(id, text);
      };
    },
    complete() {
      settled = undefined;
    },
    forget() {
      isForgotten = true;
      texts.clear();
    },
    snapshot() {
      if (settled !== undefined || isForgotten || bare > mostBare) return undefined;
      return { messages: texts.size, isSorted, pieces };
    },
  };
}

/** The messages of whole pieces, and the IDs of those that are to be read. `folder` is where their files are. */
export function scanKnown(
  pieces: string,
  folder: string,
): {
  readonly messages: readonly { readonly id: string; readonly envelope: Envelope | Damaged }[];
  readonly bare: readonly string[];
} {
  const messages: { readonly id: string; readonly envelope: Envelope | Damaged }[] = [];
  const bare: string[] = [];
  let end = -1;
  for (let at = 0; at < pieces.length; at = end + 1) {
    end = pieces.indexOf("\0", at);
    const begin = at + queueIdLength;
    const id = pieces.slice(at, begin);
    if (begin === end) bare.push(id);
    else messages.push({ id, envelope: scanPart(pieces, begin, end, id, `${folder}/${id}`) });
  }
  return { messages, bare };
}
