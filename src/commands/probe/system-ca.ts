/** The certificates that this system trusts. */
import { readFileSync } from "node:fs";
import { rootCertificates } from "node:tls";
import { errorCode } from "../../failure.ts";

/** Where Debian, and OpenSSL by its variable, keep the CAs; else those that Node brings. */
export function systemCa(): string {
  for (const path of [process.env["SSL_CERT_FILE"] ?? "", "/etc/ssl/certs/ca-certificates.crt"]) {
    try {
      if (path !== "") return readFileSync(path, "utf8");
    } catch (error) {
      if (errorCode(error) === "") throw error;
    }
  }
  return rootCertificates.join("\n");
}
