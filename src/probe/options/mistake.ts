/** Mistakes in options: swaks' status and texts, with the reasons that C programs give. */
import { Failure } from "../../failure.ts";
import { statusOf } from "../exit-status.ts";

/** For options that cannot be used. */
export const mistakeStatus = statusOf("options");

/** A Failure in swaks' form. */
export const mistake = (text: string, status = mistakeStatus): Failure => new Failure(status, `*** ${text}`);

/** swaks' words for an option that was given without the value that it must have. */
export const withoutArgument = (name: string): Failure =>
  mistake(`Option processing error: option ${name} specified with no argument`);

const reasons: Readonly<Record<string, string>> = {
  ENOENT: "No such file or directory",
  EACCES: "Permission denied",
  EFBIG: "File too large",
  EIO: "Input/output error",
  EISDIR: "Is a directory",
  EDQUOT: "Disk quota exceeded",
  ENOSPC: "No space left on device",
  ENOTDIR: "Not a directory",
  ELOOP: "Too many levels of symbolic links",
};

/** What strerror(3) calls a system error. */
export const reason = (code: string): string => reasons[code] ?? code;
