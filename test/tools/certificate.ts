/** Self-signed certificates for tests, made by openssl when they are wanted. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

export interface SelfSigned {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

/** A key pair for `names` (DNS names or IP addresses), valid for `days`; `algorithm` is openssl's. */
export function selfSigned(
  names: readonly string[] = ["relay.example.org", "127.0.0.1"],
  days = 2,
  algorithm: readonly string[] = ["ec", "-pkeyopt", "ec_paramgen_curve:P-256"],
): SelfSigned {
  const folder = mkdtempSync(join(tmpdir(), "tpa-submit-certificate-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  const alternatives = names
    .map((name) => (/^[\d.]+$|:/.test(name) ? `IP:${name}` : `DNS:${name}`))
    .join(",");
  try {
    execFileSync(
      "openssl",
      [
        ...["req", "-x509", "-newkey", ...algorithm, "-nodes"],
        ...["-subj", `/CN=${names[0] ?? "relay.example.org"}`, "-addext", `subjectAltName=${alternatives}`],
        ...["-days", String(days), "-keyout", key, "-out", cert],
      ],
      { stdio: ["ignore", "ignore", "pipe"] },
    );
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
