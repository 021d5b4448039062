/**
 * Frames of the milter protocol: four octets of length (command and data, big-endian), one octet that names the command, its
 * data. Texts end in NUL. What is described here has no RFC; draft-adams-milter-protocol, Postfix and libmilter agree on it.
 */

/** What a filter does that nobody can go on from: a refused connection, silence, garbage. One line, for the log. */
export class MilterTrouble extends Error {
  override readonly name = "MilterTrouble";
}

export interface MilterFrame {
  /** One character. */
  readonly command: string;
  readonly data: Buffer;
}

/** Octets of data in one frame that we send: what every filter can take. */
export const mostSent = 65_535;

/** Octets of a frame that we take. Our choice: libmilter sends no more than 65536 of data. */
export const mostTaken = 128 * 1024;

/** A frame as it is sent. */
export function encodeFrame(command: string, ...parts: readonly Uint8Array[]): Buffer {
  const length = parts.reduce((sum, part) => sum + part.length, 1);
  const octets = Buffer.allocUnsafe(4 + length);
  octets.writeUInt32BE(length);
  octets.write(command, 4, 1, "latin1");
  let at = 5;
  for (const part of parts) {
    octets.set(part, at);
    at += part.length;
  }
  return octets;
}

/** A text in UTF-8, or one character an octet. A NUL in it would end it too early and goes. */
export const encodeText = (text: string, as: "utf8" | "latin1" = "utf8"): Buffer =>
  Buffer.from(`${text.replaceAll("\0", "")}\0`, as);

export function encodeNumbers(...numbers: readonly number[]): Buffer {
  const octets = Buffer.alloc(4 * numbers.length);
  for (const [index, number] of numbers.entries()) octets.writeUInt32BE(number, 4 * index);
  return octets;
}

/** Finds the frames in what a filter sends, in whatever pieces it comes. */
export class FrameReader {
  readonly #length = Buffer.alloc(4);
  #filled = 0;
  #frame: Buffer | undefined;

  /** The frames that end in `octets`; asks for no more of them than are wanted. Throws a {@link MilterTrouble}. */
  *read(octets: Buffer): Generator<MilterFrame, void> {
    for (let at = 0; at < octets.length; ) {
      const into = this.#frame ?? this.#length;
      const copied = octets.copy(into, this.#filled, at);
      at += copied;
      this.#filled += copied;
      if (this.#filled < into.length) return;
      this.#filled = 0;
      if (this.#frame === undefined) this.#frame = Buffer.allocUnsafe(this.#announced());
      else {
        const frame = this.#frame;
        this.#frame = undefined;
        yield { command: frame.toString("latin1", 0, 1), data: frame.subarray(1) };
      }
    }
  }

  #announced(): number {
    const length = this.#length.readUInt32BE();
    if (length === 0) throw new MilterTrouble("it sent a frame with nothing in it");
    if (length > mostTaken) throw new MilterTrouble(`it announced a frame of ${length} octets`);
    return length;
  }
}

/** Reads the data of a frame from its beginning. Each throws a {@link MilterTrouble} where something is missing. */
export class FrameFields {
  readonly #data: Buffer;
  #at = 0;

  constructor(data: Buffer) {
    this.#data = data;
  }

  get isAtEnd(): boolean {
    return this.#at >= this.#data.length;
  }

  number(): number {
    if (this.#at + 4 > this.#data.length) throw new MilterTrouble("a number is missing in its answer");
    this.#at += 4;
    return this.#data.readUInt32BE(this.#at - 4);
  }

  text(as: "utf8" | "latin1" = "utf8"): string {
    const end = this.#data.indexOf(0, this.#at);
    if (end < 0) throw new MilterTrouble("a text in its answer has no end");
    const text = this.#data.toString(as, this.#at, end);
    this.#at = end + 1;
    return text;
  }
}
