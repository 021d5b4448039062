/** xtext, the encoding of ENVID, ORCPT and AUTH parameters (RFC 3461 section 4). */

/** Writes ASCII text as xtext: all but visible characters, "+" and "=" becomes "+" and two hexadecimal digits. */
export function encodeXtext(text: string): string {
  return Array.from(Buffer.from(text, "utf8"), (octet) => {
    const plain = octet >= 0x21 && octet <= 0x7e && octet !== 0x2b && octet !== 0x3d;
    return plain ? String.fromCharCode(octet) : `+${octet.toString(16).toUpperCase().padStart(2, "0")}`;
  }).join("");
}

/** Reads xtext; undefined where it is malformed. */
export function decodeXtext(encoded: string): string | undefined {
  if (!/^(?:[\x21-\x2a\x2c-\x3c\x3e-\x7e]|\+[0-9A-F]{2})*$/.test(encoded)) return undefined;
  const octets = encoded.replace(/\+([0-9A-F]{2})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
  return Buffer.from(octets, "latin1").toString("utf8");
}
