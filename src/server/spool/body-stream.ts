/** The octets of a message as a stream: of a file, or of wherever they turn out to be. */
import { close, open, read } from "node:fs";
import { Readable } from "node:stream";
import { givePiece, pieceSize, takePiece } from "./piece-pool.ts";

type Done = (error?: Error | null) => void;

/** A stream that reads into the memory of its own pieces again, where it gets them back. */
export abstract class BodyStream extends Readable {
  /** Nobody needs the octets of `piece`, which is from this stream, any more: others may be there at once. */
  abstract giveBack(piece: Uint8Array): void;
}

/** The first octets of a file; what goes wrong comes as the stream's error. */
export class FileStream extends BodyStream {
  readonly #path: string;
  #left: number;
  #file: number | undefined;
  /** The end, where it waits for a read. */
  #whenRead: (() => void) | undefined;
  #isReading = false;

  constructor(path: string, octets: number) {
    super({ highWaterMark: pieceSize });
    this.#path = path;
    this.#left = octets;
  }

  giveBack(piece: Uint8Array): void {
    givePiece(piece);
  }

  override _construct(done: Done): void {
    open(this.#path, "r", (error, file) => {
      if (!error) this.#file = file;
      done(error);
    });
  }

  override _read(): void {
    const file = this.#file;
    if (file === undefined) return;
    const piece = takePiece();
    this.#isReading = true;
    // From where the last read ended.
    read(file, piece, 0, Math.min(piece.length, this.#left), null, (error, length) => {
      this.#isReading = false;
      this.#whenRead?.();
      if (error) this.destroy(error);
      else if (length === 0) {
        givePiece(piece);
        this.push(null);
      } else {
        this.#left -= length;
        this.push(piece.subarray(0, length));
      }
    });
  }

  override _destroy(error: Error | null, done: Done): void {
    const file = this.#file;
    this.#file = undefined;
    const end = (): void => {
      if (file === undefined) done(error);
      else close(file, (failure) => done(error ?? failure));
    };
    if (this.#isReading) this.#whenRead = end;
    else end();
  }
}

/** What `find` finds: octets, or a stream. */
export class FoundStream extends BodyStream {
  readonly #find: () => Promise<Buffer | Readable>;
  #found: Readable | undefined;

  constructor(find: () => Promise<Buffer | Readable>) {
    super({ highWaterMark: pieceSize });
    this.#find = find;
  }

  giveBack(piece: Uint8Array): void {
    if (this.#found instanceof BodyStream) this.#found.giveBack(piece);
  }

  override _construct(done: Done): void {
    void this.#open(done);
  }

  /** Calls `done` with what goes wrong, or without. */
  async #open(done: Done): Promise<void> {
    let failure: Error | null = null;
    try {
      const found = await this.#find();
      if (found instanceof Readable) this.#follow(found);
      else {
        if (found.length > 0) this.push(found);
        this.push(null);
      }
    } catch (error) {
      failure = error instanceof Error ? error : new Error(String(error));
    }
    done(failure);
  }

  #follow(found: Readable): void {
    this.#found = found;
    found.on("data", (piece: Buffer) => {
      if (!this.push(piece)) found.pause();
    });
    found.on("end", () => this.push(null)).on("error", (error) => this.destroy(error));
    found.pause();
  }

  override _read(): void {
    this.#found?.resume();
  }

  override _destroy(error: Error | null, done: Done): void {
    this.#found?.destroy();
    done(error);
  }
}
