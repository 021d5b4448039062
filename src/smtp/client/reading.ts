/** Reads a known number of octets, or up to a mark, from a socket before anybody else does: for proxies' answers. */
import type { Socket } from "node:net";

/** Collects octets until `enough` says how many belong to it; the rest is put back. Rejects where the socket ends. */
export async function readUntil(
  socket: Socket,
  enough: (read: Buffer) => number | undefined,
  most: number,
): Promise<Buffer> {
  let read = Buffer.alloc(0);
  for (;;) {
    const length = enough(read);
    if (length !== undefined && length <= read.length) {
      if (length < read.length) socket.unshift(read.subarray(length));
      return read.subarray(0, length);
    }
    if (read.length > most) throw new Error("the proxy's answer is too long");
    read = Buffer.concat([read, await nextPiece(socket)]);
  }
}

function nextPiece(socket: Socket): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const take = (piece: Buffer): void => settle(() => resolve(piece));
    const end = (): void => settle(() => reject(new Error("the proxy closed the connection")));
    const fail = (error: Error): void => settle(() => reject(error));
    const settle = (act: () => void): void => {
      socket.pause();
      socket.off("data", take).off("end", end).off("close", end).off("error", fail);
      act();
    };
    socket.on("data", take).on("end", end).on("close", end).on("error", fail).resume();
  });
}
