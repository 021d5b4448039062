/** X.509 certificates (RFC 5280) as tests need them, without another program: DER is written here, Node.js signs. */
import {
  createHash,
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  randomBytes,
  sign,
} from "node:crypto";

export interface Pair {
  /** PEM. */
  readonly key: string;
  readonly cert: string;
}

export interface Wish {
  /** The common name. */
  readonly subject: string;
  /** As `openssl req` takes them: "DNS:…", "IP:…" (IPv4), "email:…", "URI:…". */
  readonly names: readonly string[];
  readonly days: number;
  readonly algorithm?: "ec" | "rsa";
  /** What it is for; without it, for anything. */
  readonly usage?: string;
  /** Who signs; without it, the key itself. */
  readonly issuer?: Pair & { readonly subject: string };
}

/** A new key and its certificate, which may sign others: an authority, as `openssl req -x509` makes them. */
export function certified({ subject, names, days, algorithm = "ec", usage, issuer }: Wish): Pair {
  const { publicKey, privateKey } =
    algorithm === "rsa"
      ? generateKeyPairSync("rsa", { modulusLength: 2048 })
      : generateKeyPairSync("ec", { namedCurve: "P-256" });
  const spki = publicKey.export({ type: "spki", format: "der" });
  const signer = issuer === undefined ? privateKey : createPrivateKey(issuer.key);
  const signersSpki = createPublicKey(signer).export({ type: "spki", format: "der" });
  const signature =
    signer.asymmetricKeyType === "rsa"
      ? sequence(oid("1.2.840.113549.1.1.11"), der(0x05)) // sha256WithRSAEncryption
      : sequence(oid("1.2.840.10045.4.3.2")); // ecdsa-with-SHA256
  const begin = Math.floor(Date.now() / 1000) * 1000;
  const extensions = [
    extension("2.5.29.14", der(0x04, keyId(spki))), // subjectKeyIdentifier
    extension("2.5.29.35", sequence(der(0x80, keyId(signersSpki)))), // authorityKeyIdentifier
    sequence(oid("2.5.29.19"), yes, der(0x04, sequence(yes))), // basicConstraints, critical: an authority
    extension("2.5.29.17", sequence(...names.map(alternative))), // subjectAltName
    ...(usage === undefined ? [] : [extension("2.5.29.37", sequence(oid(purposeOf(usage))))]), // extKeyUsage
  ];
  const told = sequence(
    der(0xa0, der(0x02, Buffer.of(2))), // version 3
    der(0x02, Buffer.of(0x40), randomBytes(15)), // the serial number, positive
    signature,
    commonName(issuer?.subject ?? subject),
    sequence(time(begin), time(begin + days * 86_400_000)),
    commonName(subject),
    spki,
    der(0xa3, sequence(...extensions)),
  );
  const cert = sequence(told, signature, der(0x03, Buffer.of(0), sign("sha256", told, signer)));
  return {
    key: privateKey.export({ type: "pkcs8", format: "pem" }).toString(),
    cert: `-----BEGIN CERTIFICATE-----\n${cert.toString("base64").replace(/.{1,64}/g, "$&\n")}-----END CERTIFICATE-----\n`,
  };
}

/** One value: its tag, its length, its content. */
function der(tag: number, ...content: readonly Buffer[]): Buffer {
  const octets = Buffer.concat(content);
  if (octets.length < 0x80) return Buffer.concat([Buffer.of(tag, octets.length), octets]);
  const hex = octets.length.toString(16);
  const length = Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex");
  return Buffer.concat([Buffer.of(tag, 0x80 | length.length), length, octets]);
}

const sequence = (...content: readonly Buffer[]): Buffer => der(0x30, ...content);
const yes = der(0x01, Buffer.of(0xff));

function oid(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split(".").map(Number);
  return der(0x06, Buffer.from([first * 40 + second, ...rest.flatMap(base128)]));
}

/** Seven bits an octet; all but the last are marked. */
function base128(value: number): readonly number[] {
  const octets = [value % 128];
  for (let left = Math.floor(value / 128); left > 0; left = Math.floor(left / 128))
    octets.unshift(0x80 | (left % 128));
  return octets;
}

const extension = (id: string, value: Buffer): Buffer => sequence(oid(id), der(0x04, value));

const commonName = (name: string): Buffer =>
  sequence(der(0x31, sequence(oid("2.5.4.3"), der(0x0c, Buffer.from(name)))));

const keyId = (spki: Buffer): Buffer => createHash("sha1").update(spki).digest();

/** UTCTime, which ends with the year 2049. */
const time = (at: number): Buffer =>
  der(0x17, Buffer.from(new Date(at).toISOString().replace(/^20|[-:T]|\.\d+/g, "")));

const kinds: Readonly<Record<string, number>> = { email: 0x81, DNS: 0x82, URI: 0x86, IP: 0x87 };

function alternative(name: string): Buffer {
  const [, kind = "", value = ""] = /^(\w+):(.*)$/.exec(name) ?? [];
  const tag = kinds[kind];
  if (tag === undefined) throw new Error(`nobody knows the kind of name of "${name}"`);
  return der(tag, kind === "IP" ? Buffer.from(value.split(".").map(Number)) : Buffer.from(value));
}

const purposes: Readonly<Record<string, string>> = {
  serverAuth: "1.3.6.1.5.5.7.3.1",
  clientAuth: "1.3.6.1.5.5.7.3.2",
};

function purposeOf(usage: string): string {
  const id = purposes[usage];
  if (id === undefined) throw new Error(`nobody knows the usage "${usage}"`);
  return id;
}
