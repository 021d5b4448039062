/** xtext, the encoding of ENVID, ORCPT and AUTH parameters (RFC 3461 section 4), and its variant for UTF-8. */

/** Writes ASCII text as xtext: "+", "=" and whatever is not visible become "+" and two hexadecimal digits. */
export function encodeXtext(text: string): string {
  return Array.from(Buffer.from(text, "utf8"), (octet) => {
    const plain = octet >= 0x21 && octet <= 0x7e && octet !== 0x2b && octet !== 0x3d;
    return plain ? String.fromCharCode(octet) : `+${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

/** Reads xtext; undefined if it is malformed. */
export function decodeXtext(encoded: string): string | undefined {
  if (!/^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*$/.test(encoded)) return undefined;
  const octets = encoded.replace(/\+([0-9A-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(octets, "latin1").toString("utf8");
}

/**
 * An address of the type "utf-8" in ASCII, utf-8-addr-xtext (RFC 6533 section 3): characters that xtext or ASCII does
 * not have become `\x{F6}`. A backslash stays: it may already begin such a sequence.
 */
export function embedUnicode(address: string): string {
  return address.replace(/[^!-*,-<>-~]/gu, escapedSign);
}

/** The same in UTF-8, utf-8-addr-unitext: only invisible characters are escaped. */
export function embedHidden(address: string): string {
  return address.replace(/[\u0000-\u0020+=\u007f-\u00a0\p{Cf}\p{Zl}\p{Zp}]/gu, escapedSign);
}

const escapedSign = (sign: string): string => `\\x{${(sign.codePointAt(0) ?? 0).toString(16).toUpperCase()}}`;
