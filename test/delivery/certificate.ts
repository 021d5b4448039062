/** Throwaway certificates for the tests of TLS, made by openssl(1). */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathOf } from "../tools/real.ts";

export interface KeyPair {
  /** PEM; self-signed, so it is its own authority. */
  readonly cert: string;
  readonly key: string;
}

/** A certificate for the host `name`. */
export function certificateFor(name: string): KeyPair {
  const folder = mkdtempSync(join(tmpdir(), "tpa-submit-certificate-"));
  const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
  try {
    const request = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
    const about = ["-days", "2", "-subj", `/CN=${name}`, "-addext", `subjectAltName=DNS:${name}`];
    execFileSync(pathOf("openssl") ?? "openssl", [...request, ...about, "-keyout", key, "-out", cert], {
      stdio: "ignore",
    });
    return { key: readFileSync(key, "utf8"), cert: readFileSync(cert, "utf8") };
  } finally {
    rmSync(folder, { recursive: true });
  }
}
