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

/** Octets of a piece from which on it is kept as it came, and of what smaller ones are gathered in. Our choice. */
const keptAsItCame = 1_024;
const gatheredAtOnce = 4_096;

/** The octets of one message. */
export class KeptOctets {
  readonly #memory: MessageMemory;
  #parts: Buffer[] = [];
  #total = 0;
  /** Octets in use of the last part, where others may follow in it. */
  #filled: number | undefined;

  constructor(memory: MessageMemory) {
    this.#memory = memory;
  }

  /** Keeps a piece too, where it is not too much for one message or for all. */
  add(piece: Buffer, most = keptMessage): boolean {
    if (this.#total + piece.length > most || !this.#memory.take(piece.length)) return false;
    this.#total += piece.length;
    if (!this.#isKeptAsItCame(piece)) this.#gather(piece);
    else {
      this.#close();
      this.#parts.push(piece);
    }
    return true;
  }

  /** All of them, which are still counted. */
  parts(): readonly Buffer[] {
    this.#close();
    return this.#parts;
  }

  /** Lets go of them where they were copied, for as long as the copy is there: they still count. */
  forget(): void {
    this.#parts = [];
    this.#filled = undefined;
  }

  /** Lets go of them, and they count no more. May be called again. */
  drop(): void {
    if (this.#total === 0) return;
    this.#memory.give(this.#total);
    this.#total = 0;
    this.forget();
  }

  /** Whether it is worth no copy. A piece of a buffer that is much longer would keep all of it. */
  #isKeptAsItCame(piece: Buffer): boolean {
    const room = this.#filled === undefined ? 0 : (this.#parts.at(-1)?.length ?? 0) - this.#filled;
    return piece.length >= keptAsItCame && piece.length > room && 2 * piece.length >= piece.buffer.byteLength;
  }

  #gather(piece: Buffer): void {
    for (let at = 0; at < piece.length; ) {
      let last = this.#filled === undefined ? undefined : this.#parts.at(-1);
      if (last === undefined || this.#filled === last.length) {
        last = Buffer.allocUnsafeSlow(Math.max(gatheredAtOnce, piece.length - at));
        this.#parts.push(last);
        this.#filled = 0;
      }
      const copied = piece.copy(last, this.#filled, at);
      this.#filled = (this.#filled ?? 0) + copied;
      at += copied;
    }
  }

  #close(): void {
    const last = this.#parts.pop();
    if (last !== undefined)
      this.#parts.push(this.#filled === undefined ? last : last.subarray(0, this.#filled));
    this.#filled = undefined;
  }
}
