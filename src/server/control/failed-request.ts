/** What an operator is told of a request that came to nothing. */
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";
import { logBug } from "../log/log.ts";

/** Sent when a request cannot be carried out, in place of an answer or after some. */
export interface FailureAnswer {
  readonly failure: { readonly status: number; readonly message: string };
}

/** What has no words of its own is a bug of `what`, and logged. */
export function failedRequest(error: unknown, what: string): FailureAnswer["failure"] {
  if (error instanceof Failure) return { status: error.status, message: error.message };
  if (errorCode(error) === "ESTOREAWAY")
    return { status: exitStatus.unavailable, message: `${errorText(error)}; ask again when it is back` };
  logBug(what, error);
  return { status: exitStatus.software, message: "a fault of the relay; its log has the details" };
}
