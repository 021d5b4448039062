/** Which fields of a header somebody has signed: those stay as they are. */
import { type Field, fieldBody, isNamed } from "../../../smtp/header.ts";

/**
 * Fields that vouch for other fields, which their tag `h` names (RFC 6376 section 3.5, RFC 8617 section 4.1.2, RFC 4870
 * section 3.3). S/MIME and PGP/MIME sign the parts of a body and no field of the message (RFC 1847).
 */
const signatures = ["DKIM-Signature", "ARC-Message-Signature", "DomainKey-Signature"];

/** Tells whether a signature among `fields` covers the one of that name; one without `h` covers all. */
export function signedIn(fields: readonly Field[]): (name: string) => boolean {
  const covered = new Set<string>();
  let all = false;
  for (const field of fields) {
    if (!signatures.some((name) => isNamed(field, name))) continue;
    const names = fieldBody(field)
      .split(";")
      .map((tag) => tag.trim())
      .find((tag) => /^h\s*=/.test(tag));
    if (names === undefined) all = true;
    else {
      const list = names.slice(names.indexOf("=") + 1).split(":");
      for (const name of list) covered.add(name.trim().toLowerCase());
    }
  }
  return (name) => all || covered.has(name.toLowerCase());
}
