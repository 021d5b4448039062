/** The password file's news as events of the log: src/passwd knows no log. */
import type { PasswordEvent } from "../../passwd/verifier.ts";
import { log } from "../../server/log/log.ts";

export function logPasswords(file: string, event: PasswordEvent): void {
  switch (event.kind) {
    case "loaded":
      log("passwords-loaded", { file, ...event });
      break;
    case "refused":
      log("passwords-refused", { file, ...event });
      break;
    case "line":
      log("password-line", { file, ...event });
      break;
  }
}
