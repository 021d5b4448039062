/** The DKIM signatures of a message that arrived: valid or not, and aligned with its author or not (RFC 9989 section 4.4). */
import { asciiDomain, domainOf } from "../smtp/address.ts";
import { type SignatureFinding, type TxtLookup, verifySignatures } from "../smtp/dkim/verify.ts";
import { bodyOffset, fieldBody, isNamed, splitFields } from "../smtp/header.ts";
import { readMailboxes } from "../smtp/mailboxes.ts";

export interface ArrivedSignature extends SignatureFinding {
  /** strict: the author's domain itself; relaxed: of the same organisation; none: somebody else's. */
  readonly alignment: "strict" | "relaxed" | "none";
}

export interface ArrivedSignatures {
  /** The author's domain; "" where there is not one From with an address. */
  readonly author: string;
  readonly signatures: readonly ArrivedSignature[];
}

export interface SignatureDependencies {
  readonly lookUp: TxtLookup;
  /** The domain under which a name is registered (the public suffix list); undefined where there is none. */
  readonly organisation: (name: string) => string | undefined;
}

/** Verifies all signatures of the `message`, which is whole. `now` is in milliseconds since the epoch. */
export async function arrivedSignatures(
  message: Buffer,
  { lookUp, organisation }: SignatureDependencies,
  now: number,
): Promise<ArrivedSignatures> {
  const author = authorOf(message);
  const found = await verifySignatures(message, lookUp, now);
  return {
    author,
    signatures: found.map((one) => ({ ...one, alignment: alignmentOf(author, one.domain, organisation) })),
  };
}

function authorOf(message: Buffer): string {
  const header = message.toString("latin1", 0, bodyOffset(message) ?? message.length);
  const [from, ...others] = splitFields(header).filter((field) => isNamed(field, "From"));
  if (from === undefined || others.length > 0) return "";
  const domains = (readMailboxes(fieldBody(from)) ?? []).map((address) => asciiDomain(domainOf(address)));
  return domains[0]?.toLowerCase() ?? "";
}

export function alignmentOf(
  author: string,
  domain: string,
  organisation: SignatureDependencies["organisation"],
): ArrivedSignature["alignment"] {
  if (author === "") return "none";
  if (author === domain) return "strict";
  const own = organisation(author);
  return own !== undefined && own === organisation(domain) ? "relaxed" : "none";
}

/** In a few words: `signature of example.org by 20261129-rsa (rsa-sha256, 2048 bits): valid, aligned with From`. */
export function signatureText({
  domain,
  selector,
  algorithm,
  bits,
  result,
  words,
  alignment,
}: ArrivedSignature): string {
  const key =
    bits === undefined || algorithm.startsWith("ed25519") ? algorithm : `${algorithm}, ${bits} bits`;
  const state = result === "pass" ? "valid" : `${result}, ${words}`;
  const aligned = {
    strict: "aligned with From",
    relaxed: "aligned with From (relaxed)",
    none: "not aligned with From",
  };
  return `signature of ${domain} by ${selector} (${key}): ${state}; ${aligned[alignment]}`;
}
