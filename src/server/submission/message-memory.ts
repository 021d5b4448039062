/** Messages in memory while they come in, and how much memory all of them may take together. */
import { keptMessage } from "./client-limits.ts";

/** What the messages of all sessions share. */
export interface MessageMemory {
  /** Counts so many octets more, where there is room for them. */
  take(octets: number): boolean;
  /** They are not kept any more. */
  give(octets: number): void;
}

/** `most` is asked each time: a reload may change it. */
export function newMessageMemory(most: () => number): MessageMemory {
  let taken = 0;
  return {
    take(octets) {
      if (taken + octets > most()) return false;
      taken += octets;
      return true;
    },
    give(octets) {
      taken -= octets;
    },
  };
}

/** The octets of one message. */
export interface KeptOctets {
  /** Keeps a piece too, where it is not too much for one message or for all. */
  add(piece: Buffer): boolean;
  /** All of them, which are still counted. */
  parts(): readonly Buffer[];
  /** Lets go of them. May be called again. */
  drop(): void;
}

/** Octets of a piece from which on it is kept as it came, and of what smaller ones are gathered in. Our choice. */
const keptAsItCame = 1_024;
const gatheredAtOnce = 4_096;

export function newKeptOctets(memory: MessageMemory): KeptOctets {
  let parts: Buffer[] = [];
  let total = 0;
  /** Octets in use of the last part, where others may follow in it. */
  let filled: number | undefined;

  /** Whether it is worth no copy. A piece of a buffer that is much longer would keep all of it. */
  function isKeptAsItCame(piece: Buffer): boolean {
    const room = filled === undefined ? 0 : (parts.at(-1)?.length ?? 0) - filled;
    return piece.length >= keptAsItCame && piece.length > room && 2 * piece.length >= piece.buffer.byteLength;
  }

  function gather(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      let last = filled === undefined ? undefined : parts.at(-1);
      if (last === undefined || filled === last.length) {
        last = Buffer.allocUnsafeSlow(Math.max(gatheredAtOnce, piece.length - at));
        parts.push(last);
        filled = 0;
      }
      const copied = piece.copy(last, filled, at);
      filled = (filled ?? 0) + copied;
      at += copied;
    }
  }

  function close(): void {
    const last = parts.pop();
    if (last !== undefined) parts.push(filled === undefined ? last : last.subarray(0, filled));
    filled = undefined;
  }

  return {
    add(piece) {
      if (total + piece.length > keptMessage || !memory.take(piece.length)) return false;
      total += piece.length;
      if (!isKeptAsItCame(piece)) gather(piece);
      else {
        close();
        parts.push(piece);
      }
      return true;
    },
    parts() {
      close();
      return parts;
    },
    drop() {
      memory.give(total);
      total = 0;
      parts = [];
      filled = undefined;
    },
  };
}
