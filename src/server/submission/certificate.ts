/**
 * The server's certificates and the CA of client certificates: read from their files and checked before use.
 */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { readFile } from "node:fs/promises";
import { createSecureContext, rootCertificates } from "node:tls";
import { errorCode, errorText, exitStatus, Failure } from "../../failure.ts";

export interface Certificate {
  /** The file it was read from. */
  readonly file: string;
  /** PEM, the host's own certificate first. */
  readonly cert: string;
  readonly key: string;
  /** Its names, for people. */
  readonly names: string;
  /** The host names among them, in lower case. One may begin with "*.". */
  readonly hosts: readonly string[];
  /** When it ends, in milliseconds since the epoch. */
  readonly until: number;
  /** What is missing or misplaced in the file: a text that follows its name. */
  readonly gap?: string;
}

/** All certificates of the server, that of the host first. */
export interface Certificates extends Certificate {
  /** PEM of the CA of client certificates; "" where clients have none. */
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
 * Reads the files. Throws a {@link Failure} of one line that names the file if one cannot be read or is not PEM, or if key
 * and certificate do not belong together. An expired certificate is read all the same.
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

/**
 * What is missing in `pem`, a certificate and its chain, for a client that knows only Mozilla's roots; as a text that
 * follows the name of the file. Undefined where nothing is missing, or the certificate is self-signed. Throws if a piece
 * is no certificate.
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
