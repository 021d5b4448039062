/** A directory's own "no": the result codes of RFC 4511 section 4.1.9 in words, with the exit status each leads to. */
import { type ExitStatus, exitStatus, Failure } from "../failure.ts";
import { shown } from "./shown.ts";

/** The result codes that somebody here asks for by name. */
export const resultCode = {
  protocolError: 2,
  timeLimitExceeded: 3,
  sizeLimitExceeded: 4,
  adminLimitExceeded: 11,
  noSuchObject: 32,
  invalidCredentials: 49,
  unwillingToPerform: 53,
} as const;

/** The directory answered, with a result other than success. */
export class Refusal extends Failure {
  readonly code: number;

  /** `doing` is what was asked of it; `diagnosis` is the directory's own text. */
  constructor(url: string, code: number, doing: string, diagnosis: string) {
    const [words, status] = results[code] ?? [`result code ${code}`, exitStatus.unavailable];
    super(status, `${url}: ${words} while ${doing}${diagnosis === "" ? "" : ` (${shown(diagnosis)})`}`);
    this.name = "Refusal";
    this.code = code;
  }
}

const { unavailable, temporary, noPermission, config } = exitStatus;

const results: Readonly<Record<number, readonly [words: string, status: ExitStatus]>> = {
  1: ["operations error", unavailable],
  2: ["protocol error", unavailable],
  3: ["time limit exceeded", temporary],
  4: ["size limit exceeded", unavailable],
  7: ["authentication method not supported", config],
  8: ["stronger authentication required", noPermission],
  10: ["the directory refers to another one", unavailable],
  11: ["administrative limit exceeded", unavailable],
  12: ["a control is not supported", unavailable],
  13: ["confidentiality required: use ldaps:// or STARTTLS", config],
  16: ["no such attribute", config],
  17: ["undefined attribute", config],
  18: ["inappropriate matching", config],
  19: ["a rule of the directory forbids the value", noPermission],
  21: ["invalid syntax", config],
  32: ["no such entry", config],
  34: ["invalid DN", config],
  48: ["inappropriate authentication", noPermission],
  49: ["wrong DN or password", noPermission],
  50: ["insufficient access", noPermission],
  51: ["the directory is busy", temporary],
  52: ["the directory is unavailable", temporary],
  53: ["the directory is unwilling", unavailable],
  65: ["the schema forbids it", config],
  80: ["an error inside the directory", temporary],
  112: ["TLS is not supported", unavailable],
};
