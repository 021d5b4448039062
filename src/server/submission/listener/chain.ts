/** Whether a certificate comes with all that clients need to trust it: the certificates up to a root that they have. */
import { X509Certificate } from "node:crypto";
import { rootCertificates } from "node:tls";

/**
 * What is missing in `pem`, a certificate and those behind it, for a client that knows Mozilla's roots and nothing else;
 * in words that go on behind the name of the file. Undefined where nothing is, or where the certificate has signed
 * itself. Throws what is wrong with a piece that is no certificate.
 */
export function chainGap(pem: string): string | undefined {
  const chain = (pem.match(/-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g) ?? []).map(
    (piece) => new X509Certificate(piece),
  );
  for (const [index, certificate] of chain.entries()) {
    const next = chain[index + 1];
    if (certificate.checkIssued(certificate)) return undefined;
    if (next && !certificate.checkIssued(next)) {
      return `the certificate number ${index + 2} in it did not sign the one before`;
    }
  }
  const issuer = chain.at(-1)?.issuer;
  const isKnown = rootCertificates.some((root) => new X509Certificate(root).subject === issuer);
  return isKnown
    ? undefined
    : `it lacks the certificate of ${oneLine(issuer ?? "")}, which clients may not know`;
}

const oneLine = (name: string): string => name.replaceAll("\n", ", ");
