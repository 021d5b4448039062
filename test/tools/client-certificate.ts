/** Certificates for the clients of a test, signed by a CA of the test. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { SelfSigned } from "./certificate.ts";

/**
 * A key pair for `names`, written as openssl does ("email:user1@example.org"), signed by `ca` for the usage
 * "clientAuth" or another.
 */
export function clientCertificate(
  ca: SelfSigned,
  names: readonly string[],
  usage = "clientAuth",
): SelfSigned {
  const folder = mkdtempSync(join(tmpdir(), "tpa-submit-certificate-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const [caKey, caCert] = [join(folder, "ca-key.pem"), join(folder, "ca-cert.pem")];
  const added = [`subjectAltName=${names.join(",")}`, `extendedKeyUsage=${usage}`];
  try {
    writeFileSync(caKey, ca.key, { mode: 0o600 });
    writeFileSync(caCert, ca.cert);
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-CA", caCert, "-CAkey", caKey, "-subj", "/CN=a client", "-days", "2"],
        ...["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", cert],
        ...added.flatMap((extension) => ["-addext", extension]),
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
