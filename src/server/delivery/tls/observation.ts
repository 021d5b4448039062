/**
 * How TLS with the hosts of a domain went, by what the domain demands of it: for those who report it (RFC 8460). The
 * words of failures are those of section 4.3.
 */
import { errorCode } from "../../../failure.ts";
import type { NextHop } from "../next-hop.ts";
import type { StsPolicy } from "./mta-sts-policy.ts";

export type TlsFailureType =
  | "starttls-not-supported"
  | "certificate-host-mismatch"
  | "certificate-expired"
  | "certificate-not-trusted"
  | "validation-failure"
  | "dnssec-invalid"
  | "sts-policy-fetch-error"
  | "sts-policy-invalid"
  | "sts-webpki-invalid";

export interface TlsFailure {
  readonly type: TlsFailureType;
  /** A few words of ours, or a code of Node's; "" for none. */
  readonly code: string;
}

/** What a domain demands of TLS with its hosts, in the form in which RFC 8460 section 4.4 has it. */
export interface DemandedTls {
  readonly type: "sts" | "tlsa" | "no-policy-found";
  readonly strings: readonly string[];
  /** MX patterns of the policy. */
  readonly hosts: readonly string[];
}

/** One session, or why there was none. */
export interface TlsObservation {
  /** Of the recipients, in A-labels. */
  readonly domain: string;
  readonly demanded: DemandedTls;
  /** "" where it came to no host. */
  readonly host: string;
  readonly address: string;
  /** Absent where all went well. */
  readonly failure?: TlsFailure;
}

/** Must be quick, and must not throw: a delivery waits for it. */
export type ObserveTls = (observation: TlsObservation) => void;

/** What counts for a host: TLSA records before a policy, as in applyStsPolicy. */
export function demandedOf({ tls }: Pick<NextHop, "tls">, policy: StsPolicy | undefined): DemandedTls {
  if (tls?.kind === "dane") {
    const strings = tls.records.map(({ usage, selector, matching, data }) =>
      [usage, selector, matching, Buffer.from(data).toString("hex")].join(" "),
    );
    return { type: "tlsa", strings, hosts: [] };
  }
  if (tls?.kind === "encrypted") return { type: "tlsa", strings: [], hosts: [] };
  return policy === undefined || policy.mode === "none" ? noDemand : demandOf(policy);
}

export const noDemand: DemandedTls = { type: "no-policy-found", strings: [], hosts: [] };

/** TLSA records that nobody could read. */
export const unknownTlsa: DemandedTls = { type: "tlsa", strings: [], hosts: [] };

/** A policy that nobody could read. */
export const unknownSts: DemandedTls = { type: "sts", strings: [], hosts: [] };

export const demandOf = ({ mode, mx, maxAge }: StsPolicy): DemandedTls => ({
  type: "sts",
  strings: ["version: STSv1", `mode: ${mode}`, ...mx.map((one) => `mx: ${one}`), `max_age: ${maxAge}`],
  hosts: mx,
});

/** What Node says of certificates: X509_V_ERR of OpenSSL, and its own word for a wrong name. */
const types: Readonly<Record<string, TlsFailureType>> = {
  CERT_HAS_EXPIRED: "certificate-expired",
  ERR_TLS_CERT_ALTNAME_INVALID: "certificate-host-mismatch",
  DEPTH_ZERO_SELF_SIGNED_CERT: "certificate-not-trusted",
  SELF_SIGNED_CERT_IN_CHAIN: "certificate-not-trusted",
  UNABLE_TO_GET_ISSUER_CERT: "certificate-not-trusted",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "certificate-not-trusted",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "certificate-not-trusted",
  CERT_UNTRUSTED: "certificate-not-trusted",
  CERT_NOT_YET_VALID: "validation-failure",
  CERT_REVOKED: "validation-failure",
  INVALID_PURPOSE: "validation-failure",
  CERT_CHAIN_TOO_LONG: "validation-failure",
};

/** Whether it is about a certificate, and not about the network. */
export const isAboutCertificate = (code: string): boolean => Object.hasOwn(types, code);

/** What an error of a handshake, or a code of it, is in the words of RFC 8460. */
export function failureIn(error: unknown): TlsFailure {
  const code = typeof error === "string" ? error : errorCode(error);
  return { type: types[code] ?? "validation-failure", code: /^[\w-]{1,60}$/.test(code) ? code : "" };
}
