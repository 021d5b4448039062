/**
 * What an operator can mend: a wrong option, a wrong setting, a port that is taken.
 * Printed as one line without a stack; anything else that is thrown is a bug (docs/architecture.md, "Failures").
 */

/** The exit statuses of sysexits(3) that this program uses; man/tpa-submit.1 lists them. */
export const exitStatus = {
  ok: 0,
  usage: 64,
  data: 65,
  noInput: 66,
  unavailable: 69,
  software: 70,
  cannotCreate: 73,
  ioError: 74,
  temporary: 75,
  noPermission: 77,
  config: 78,
} as const;

export type ExitStatus = (typeof exitStatus)[keyof typeof exitStatus];

/** A mistake or a mishap outside the program. `message` may have several lines, one per mistake. */
export class Failure extends Error {
  readonly status: number;

  constructor(status: number, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = "Failure";
    this.status = status;
  }
}

/** The system error code ("ENOENT") of something thrown, or "" where it has none. */
export function errorCode(error: unknown): string {
  if (typeof error !== "object" || error === null || !("code" in error)) return "";
  return typeof error.code === "string" ? error.code : "";
}

/** One line about something thrown, for logs and messages. */
export function errorText(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
