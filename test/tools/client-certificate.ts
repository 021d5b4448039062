/** Certificates for the clients of a test, signed by a CA of the test. */
import { X509Certificate } from "node:crypto";
import type { SelfSigned } from "./certificate.ts";
import { certified } from "./x509.ts";

/**
 * A key pair for `names`, written as openssl does ("email:user1@example.org"), signed by `ca` for the usage
 * "clientAuth" or another.
 */
export function clientCertificate(
  ca: SelfSigned,
  names: readonly string[],
  usage = "clientAuth",
): SelfSigned {
  const [, subject = ""] = /^CN=(.*)$/m.exec(new X509Certificate(ca.cert).subject) ?? [];
  return certified({ subject: "a client", names, days: 2, usage, issuer: { ...ca, subject } });
}
