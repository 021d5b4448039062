/** The TLS handshake on a stream, with a time limit. The caller's options say what the certificate must be. */
import type { Duplex } from "node:stream";
import { type ConnectionOptions, connect, type TLSSocket } from "node:tls";

export type Handshake =
  | { readonly kind: "done"; readonly socket: TLSSocket }
  /** OpenSSL, Node.js or the other side objected. */
  | { readonly kind: "failed"; readonly error: unknown }
  | { readonly kind: "closed" }
  /** It did not finish in time. */
  | { readonly kind: "late" }
  /** The caller's signal was raised. */
  | { readonly kind: "aborted" };

/**
 * Starts TLS on `stream` within so many milliseconds (0: no limit). `options` has SNI, the trusted CAs, and whether a
 * wrong certificate is refused (`rejectUnauthorized`) or only reported (the socket's `authorizationError`). After a
 * failure, the stream cannot be used any more.
 */
export async function tlsHandshake(
  stream: Duplex,
  options: ConnectionOptions,
  timeout: number,
  signal?: AbortSignal,
): Promise<Handshake> {
  let socket: TLSSocket;
  try {
    socket = connect({ ...options, socket: stream });
  } catch (error) {
    return { kind: "failed", error };
  }
  const ending = await settled(socket, timeout, signal);
  if (ending === undefined) return { kind: "done", socket };
  socket.on("error", () => undefined).destroy();
  return ending;
}

/** Undefined when the handshake is done, else how it ended. */
function settled(
  socket: TLSSocket,
  timeout: number,
  signal: AbortSignal | undefined,
): Promise<Exclude<Handshake, { readonly kind: "done" }> | undefined> {
  return new Promise((resolve) => {
    const timer = timeout > 0 ? setTimeout(() => settle({ kind: "late" }), timeout) : undefined;
    const fail = (error: unknown): void => settle({ kind: "failed", error });
    const close = (): void => settle({ kind: "closed" });
    const abort = (): void => settle({ kind: "aborted" });
    const done = (): void => settle(undefined);
    function settle(ending: Parameters<typeof resolve>[0]): void {
      clearTimeout(timer);
      socket.off("error", fail).off("close", close).off("secureConnect", done);
      signal?.removeEventListener("abort", abort);
      resolve(ending);
    }
    socket.on("error", fail).on("close", close).on("secureConnect", done);
    signal?.addEventListener("abort", abort);
    if (signal?.aborted === true) abort();
  });
}
