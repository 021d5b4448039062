/** A certificate as the transcript shows it, in swaks' words, and what is wrong with it. */
import { X509Certificate } from "node:crypto";
import { isIP } from "node:net";

/** Two lines' worth of text: `subject=[/C=…/CN=…]`, and name, other names and end. */
export function describeCertificate(certificate: X509Certificate): readonly [string, string] {
  const names = namesOf(certificate);
  const common = names.filter(([type]) => type === "CN").at(-1)?.[1] ?? "";
  const subject = names.map(([type, value]) => `/${type}=${value}`).join("");
  const end = endOf(certificate);
  const others = (certificate.subjectAltName ?? "").replace(
    /(?<=IP Address:)[\dA-F:]+:[\dA-F:]+/g,
    shortened,
  );
  return [`subject=[${subject}]`, `commonName=[${common}], subjectAltName=[${others}] notAfter=[${end}]`];
}

/** `2033-09-11T14:50:10Z`; whatever stands there where that is no date, for a certificate is what somebody sent. */
export function endOf({ validTo }: X509Certificate): string {
  const time = Date.parse(validTo);
  return Number.isNaN(time) ? validTo : new Date(time).toISOString().replace(/\.\d+Z$/, "Z");
}

/** The subject's parts in order; Node writes one on each line, with some characters escaped (RFC 2253 section 2.4). */
function namesOf({ subject }: X509Certificate): readonly (readonly [type: string, value: string])[] {
  if (subject === undefined) return [];
  return subject.split("\n").map((part) => {
    const at = part.indexOf("=");
    return [part.slice(0, at), part.slice(at + 1).replace(/\\(?=[,+"\\<>;#= ])/g, "")];
  });
}

/** An IPv6 address as people write it; the URL parser knows how (RFC 5952). */
const shortened = (address: string): string => new URL(`http://[${address}]`).hostname.slice(1, -1);

/** Every certificate of a PEM text. */
export function certificatesIn(pem: string): readonly X509Certificate[] {
  const found = pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? [];
  return found.map((one) => new X509Certificate(one));
}

/** Whether `certificate` is for `host`, a name or an address, by OpenSSL's rules (RFC 9525). */
export function isFor(certificate: X509Certificate, host: string): boolean {
  return (isIP(host) === 0 ? certificate.checkHost(host) : certificate.checkIP(host)) !== undefined;
}

/** Whole days from `now` (milliseconds since the epoch) until it ends; negative when it has, NaN where nobody can tell. */
export function daysLeft(certificate: X509Certificate, now: number): number {
  return Math.floor((Date.parse(certificate.validTo) - now) / 86_400_000);
}

/**
 * OpenSSL's words for what Node has codes for (X509_verify_cert_error_string(3)). A chain that cannot be begun is
 * told as one whose issuer is missing: Node goes on past the first fault and reports the last.
 */
const troubles: Readonly<Record<string, string>> = {
  UNABLE_TO_GET_ISSUER_CERT: "unable to get issuer certificate",
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unable to get local issuer certificate",
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unable to get local issuer certificate",
  CERT_SIGNATURE_FAILURE: "certificate signature failure",
  CERT_NOT_YET_VALID: "certificate is not yet valid",
  CERT_HAS_EXPIRED: "certificate has expired",
  DEPTH_ZERO_SELF_SIGNED_CERT: "self-signed certificate",
  SELF_SIGNED_CERT_IN_CHAIN: "self-signed certificate in certificate chain",
  CERT_CHAIN_TOO_LONG: "certificate chain too long",
  CERT_REVOKED: "certificate revoked",
  INVALID_CA: "invalid CA certificate",
  PATH_LENGTH_EXCEEDED: "path length constraint exceeded",
  INVALID_PURPOSE: "unsuitable certificate purpose",
  CERT_UNTRUSTED: "certificate not trusted",
  CERT_REJECTED: "certificate rejected",
};

export const troubleText = (code: string): string => troubles[code] ?? code;

/** With a line end behind it. */
export const certificatePem = (certificate: X509Certificate): string =>
  `${certificate.toString().trimEnd()}\n`;
