/** Self-signed certificates for tests, made when they are wanted. */
import { certified, type Pair } from "./x509.ts";

export type SelfSigned = Pair;

/** A key pair for `names` (DNS names or IPv4 addresses), valid for `days`. */
export const selfSigned = (
  names: readonly string[] = ["relay.example.org", "127.0.0.1"],
  days = 2,
  algorithm: "ec" | "rsa" = "ec",
): SelfSigned =>
  certified({
    subject: names[0] ?? "relay.example.org",
    names: names.map((name) => (/^[\d.]+$/.test(name) ? `IP:${name}` : `DNS:${name}`)),
    days,
    algorithm,
  });
