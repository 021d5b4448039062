/**
 * The TXT record with a public key (RFC 6376 section 3.6.1, RFC 8463 section 4.2): written, read, and compared with the
 * key that it should have.
 */
import { createPublicKey, type KeyObject } from "node:crypto";
import { tagsOf } from "./tags.ts";

/** RFC 8301, RFC 8463. */
export type KeyKind = "rsa" | "ed25519";

/** The name of the record. */
export const recordName = (selector: string, domain: string): string => `${selector}._domainkey.${domain}`;

/** What a DER-encoded Ed25519 key has before its 32 octets (RFC 8410 section 4). */
const ed25519Start = Buffer.from("302a300506032b6570032100", "hex");

/** The record's text for the key of this kind, which may be the private one. */
export function recordText(kind: KeyKind, key: KeyObject): string {
  const der = publicDer(key);
  const octets = kind === "rsa" ? der : der.subarray(ed25519Start.length);
  return `v=DKIM1; k=${kind}; p=${octets.toString("base64")}`;
}

const publicDer = (key: KeyObject): Buffer =>
  (key.type === "public" ? key : createPublicKey(key)).export({ type: "spki", format: "der" });

/** A record has strings of 255 octets at most (RFC 1035 section 3.3.14), which readers join without a blank. */
export function stringsOf(text: string): readonly string[] {
  return text.match(/.{1,250}/g) ?? [""];
}

/** The record as a line of a zone file (RFC 1035 section 5.1); none of the strings has a quote or a backslash. */
export function zoneLine(name: string, text: string): string {
  const strings = stringsOf(text).map((part) => `"${part}"`);
  return `${name}. 3600 IN TXT ${strings.length === 1 ? strings.join("") : `( ${strings.join(" ")} )`}`;
}

export interface KeyRecord {
  readonly kind: KeyKind;
  readonly key: KeyObject;
  readonly bits: number;
  /** t=y: whoever verifies treats the message as if it had no signature. */
  readonly isTesting: boolean;
  /** t=s: i= may name no sub-domain. */
  readonly isStrict: boolean;
}

/** Why a record is of no use. */
export interface RecordFault {
  readonly fault: "missing" | "several" | "malformed" | "revoked" | "unsuited" | "short";
  /** Completes "the record …". */
  readonly words: string;
}

/** RFC 8301 section 3.2: signatures by shorter keys count as none. */
export const shortestKey = 1024;

/** What receivers advise. */
export const advisedKey = 2048;

const fault = (kind: RecordFault["fault"], words: string): RecordFault => ({ fault: kind, words });

/** Reads what stands at the name of a key: each record as one text. */
export function readKeyRecord(texts: readonly string[]): KeyRecord | RecordFault {
  // A wildcard may bring other records along.
  const [text, ...others] = texts.filter(
    (one) => /^\s*v\s*=\s*DKIM1\b/.test(one) || /(?:^|;)\s*p\s*=/.test(one),
  );
  if (text === undefined) return fault("missing", "is missing");
  if (others.length > 0) return fault("several", "is there more than once, and which one counts is chance");
  const tags = tagsOf(text);
  const version = tags.get("v");
  if (version !== undefined && version !== "DKIM1")
    return fault("malformed", `has v=${short(version)}, not DKIM1`);
  const p = tags.get("p");
  if (p === undefined) return fault("malformed", "has no key (p=)");
  if (p === "") return fault("revoked", "says that the key is revoked (p= is empty)");
  const hashes = tags.get("h");
  if (hashes !== undefined && !hashes.split(":").includes("sha256"))
    return fault("unsuited", `allows no SHA-256 (h=${short(hashes)})`);
  const services = tags.get("s");
  if (services !== undefined && !services.split(":").some((one) => one === "*" || one === "email"))
    return fault("unsuited", `is not for mail (s=${short(services)})`);
  const kind = tags.get("k") ?? "rsa";
  if (kind !== "rsa" && kind !== "ed25519") return fault("unsuited", `has a key of kind ${short(kind)}`);
  const key = keyIn(kind, p);
  if (key === undefined) return fault("malformed", "has a key (p=) that cannot be read");
  const bits = key.asymmetricKeyDetails?.modulusLength ?? 256;
  if (kind === "rsa" && bits < shortestKey) {
    return fault("short", `has a key of ${bits} bits, which counts as none: ${advisedKey} is right`);
  }
  const flags = tags.get("t")?.split(":") ?? [];
  return { kind, key, bits, isTesting: flags.includes("y"), isStrict: flags.includes("s") };
}

const short = (text: string): string => text.replace(/[^\x20-\x7e]/g, "?").slice(0, 40);

/** RSA as SubjectPublicKeyInfo, or bare as the RFC's text has it; Ed25519 as 32 octets. */
function keyIn(kind: KeyKind, p: string): KeyObject | undefined {
  const octets = Buffer.from(p, "base64");
  const encodings =
    kind === "rsa"
      ? ([
          { key: octets, type: "spki" },
          { key: octets, type: "pkcs1" },
        ] as const)
      : ([{ key: Buffer.concat([ed25519Start, octets]), type: "spki" }] as const);
  for (const encoding of encodings) {
    try {
      const key = createPublicKey({ ...encoding, format: "der" });
      if (key.asymmetricKeyType === kind) return key;
    } catch {
      // another one, or none
    }
  }
  return undefined;
}

/** What receivers find of a key of ours at its name. */
export type Published =
  | { readonly state: "published" }
  | {
      readonly state: RecordFault["fault"] | "other-key" | "testing" | "unanswered";
      /** Completes "the record …". */
      readonly words: string;
    };

/** Compares what the DNS has, "trouble" where it does not answer, with our key, which may be the private one. */
export function comparePublished(
  texts: readonly string[] | "trouble",
  kind: KeyKind,
  own: KeyObject,
): Published {
  if (texts === "trouble")
    return { state: "unanswered", words: "cannot be asked for: the DNS does not answer" };
  const found = readKeyRecord(texts);
  if ("fault" in found) return { state: found.fault, words: found.words };
  const isOurs = found.kind === kind && publicDer(found.key).equals(publicDer(own));
  if (!isOurs) return { state: "other-key", words: "has another key" };
  if (found.isTesting)
    return { state: "testing", words: "is in test mode (t=y): receivers ignore the signature" };
  return { state: "published" };
}
