/**
 * Buffers of one size that are used again and again. Memory outside of V8's heap makes it collect all of its garbage each 64
 * MiB: of messages of 10 MB that was more than a third of the processor's time.
 */

/** Octets of a piece: a hop to the thread pool is dearer than a copy of so many. Our choice. */
export const pieceSize = 256 * 1024;

/** Pieces that are kept for later at most. Our choice. */
const mostSpare = 32;

const spare: Buffer[] = [];

/** A piece that nobody else has; what is in it is whatever was. */
export function takePiece(): Buffer {
  return spare.pop() ?? Buffer.allocUnsafeSlow(pieceSize);
}

/** Gives back what {@link takePiece} gave, or a part of it that stands for all, once nothing reads or writes it any more. */
export function givePiece(piece: Uint8Array): void {
  const { buffer } = piece;
  if (spare.length < mostSpare && buffer instanceof ArrayBuffer && buffer.byteLength === pieceSize)
    spare.push(Buffer.from(buffer));
}
