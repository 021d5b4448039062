/** nodemailer tells how a step ended by a callback, by an event, or not at all; here it is one promise. */
import type { EventEmitter } from "node:events";

/** What nodemailer puts on its errors. */
export interface WireError extends Error {
  readonly code?: string | undefined;
  /** What the server said, lines joined by LF. */
  readonly response?: string | undefined;
  /** The command that it answers. */
  readonly command?: string | undefined;
}

export type Step<Value> = { readonly value: Value; readonly error?: never } | { readonly error: WireError };

/**
 * Starts a step and waits for its end: `done` called, an error, the connection gone, or `signal`, which
 * leaves the step undone with the code EABORT. Never rejects.
 */
export function step<Value>(
  connection: EventEmitter,
  signal: AbortSignal,
  start: (done: (error?: WireError | null, value?: Value) => void) => void,
): Promise<Step<Value>> {
  return new Promise((resolve) => {
    const finish = (result: Step<Value>): void => {
      connection.off("error", failed).off("end", ended);
      signal.removeEventListener("abort", aborted);
      resolve(result);
    };
    const failed = (error: WireError): void => finish({ error });
    // The callback with the true reason follows at once where there is one.
    const ended = (): void =>
      void setImmediate(() => failed(wireError("ECONNECTION", "the connection was closed")));
    const aborted = (): void => failed(wireError("EABORT", "out of time"));
    connection.once("error", failed).once("end", ended);
    signal.addEventListener("abort", aborted, { once: true });
    if (signal.aborted) return aborted();
    start((error, value) => {
      if (error) failed(error);
      else finish({ value: value as Value });
    });
  });
}

function wireError(code: string, text: string): WireError {
  return Object.assign(new Error(text), { code });
}
