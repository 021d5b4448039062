/**
 * The certificates that clients meet, and the CA of theirs: read from their files and judged before anything uses them.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, rootCertificates } from "node:tls";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

export interface Certificate {
  /** Where it was read. */
  readonly file: string;
  /** PEM, the host's own certificate first. */
  readonly cert: string;
  readonly key: string;
  /** The names it is for, as a person would list them. */
  readonly names: string;
  /** The host names among them, in small letters; one may begin with "*.". */
  readonly hosts: readonly string[];
  /** When it ends, in milliseconds since the epoch. */
  readonly until: number;
  /** What is missing in the file, or in the wrong place: words that go on behind its name. */
  readonly gap?: string;
}

/** The certificate of the host, and what goes with it. */
export interface Certificates extends Certificate {
  /** PEM of those who sign the certificates of clients; "" where clients have none. */
  readonly clientCa: string;
  /** For clients that ask for one of their hosts. */
  readonly others: readonly Certificate[];
}

/** A certificate with its chain, and its key: paths. */
export interface KeyPairFiles {
  readonly certificate: string;
  readonly key: string;
}

export interface CertificateFiles extends KeyPairFiles {
  readonly "client-ca": string;
  readonly more: readonly KeyPairFiles[];
}

/**
 * Reads the files. Throws a {@link Failure} of one line that names the file when one cannot be read, is not PEM, when
 * the two do not belong together. One that has expired is read all the same: who meets it judges.
 */
export async function readCertificate({
  more,
  "client-ca": ca,
  ...first
}: CertificateFiles): Promise<Certificates> {
  const pair = await readPair(first, ["tls.certificate", "tls.key"]);
  const others: Certificate[] = [];
  for (const files of more) others.push(await readPair(files, ["tls.more", "tls.more"]));
  return { ...pair, others, clientCa: await readClientCa(ca) };
}

async function readPair(
  files: KeyPairFiles,
  [certificateSetting, keySetting]: readonly [string, string],
): Promise<Certificate> {
  const cert = await readPem(files.certificate, certificateSetting);
  const key = await readPem(files.key, keySetting);
  const leaf = parse(files.certificate, "certificate", () => new X509Certificate(cert));
  const privateKey = parse(files.key, "private key without a passphrase", () => createPrivateKey(key));
  if (!leaf.checkPrivateKey(privateKey)) {
    throw wrong(`${files.key}: is not the private key of the certificate in ${files.certificate}`);
  }
  parse(files.certificate, "certificate that TLS accepts", () => createSecureContext({ cert, key }));
  const until = Date.parse(leaf.validTo);
  const gap = parse(files.certificate, "chain of certificates", () => chainGap(cert));
  const known = { file: files.certificate, cert, key, names: namesOf(leaf), hosts: hostsOf(leaf), until };
  return gap === undefined ? known : { ...known, gap };
}

async function readClientCa(file: string): Promise<string> {
  if (file === "") return "";
  const pem = await readPem(file, "tls.client-ca");
  parse(file, "certificate", () => new X509Certificate(pem));
  parse(file, "certificate that TLS accepts", () => createSecureContext({ ca: pem }));
  return pem;
}

async function readPem(file: string, setting: string): Promise<string> {
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    const reason = errorCode(error) === "ENOENT" ? "there is no such file" : errorText(error);
    throw wrong(`${file}: cannot be read (${reason}); ${setting} says where it is`);
  }
}

function parse<Result>(file: string, what: string, read: () => Result): Result {
  try {
    return read();
  } catch (error) {
    throw wrong(`${file}: expected a ${what} in PEM form (${errorText(error)})`);
  }
}

const wrong = (message: string): Failure => new Failure(exitStatus.config, message);

const hostsOf = ({ subjectAltName = "" }: X509Certificate): readonly string[] =>
  subjectAltName.toLowerCase().match(/(?<=dns:)[^,\s]+/g) ?? [];

function namesOf(leaf: X509Certificate): string {
  const names = (leaf.subjectAltName ?? "").match(/(?<=DNS:|IP Address:)[^,\s]+/g) ?? [];
  return names.length > 0 ? names.join(", ") : leaf.subject.replaceAll("\n", ", ");
}

// Whether a certificate comes with all that clients need to trust it: the certificates up to a root that they have.

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
