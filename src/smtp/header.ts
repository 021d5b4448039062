/**
 * A message's header as a list of fields, each kept exactly as it was written. Octets are in "latin1" strings, one
 * character for each octet, so that fields we do not change are sent as they came.
 */

export interface HeaderField {
  /** As written; "" for a line that is not a field. */
  readonly name: string;
  /** The whole field with its folded lines and their CRLFs. */
  readonly raw: string;
}

/** Splits a header, without the empty line that ends it, into its fields (RFC 5322 section 2.2). */
export function splitFields(header: string): readonly HeaderField[] {
  // Looking back to the line's beginning keeps it linear: the expression can match at no other position.
  const raws = header.match(/(?=[^\r\n])(?<=(?:^|\n)\r*)[^\n]*\r\n(?:[ \t][^\n]*\r\n)*/g) ?? [];
  return raws.map((raw) => ({ name: /^([\x21-\x39\x3b-\x7e]+)[ \t]*:/.exec(raw)?.[1] ?? "", raw }));
}

/** The body's offset: behind the empty line. `undefined` if that has not come yet. */
export function bodyOffset(message: Buffer): number | undefined {
  if (message[0] === 13 && message[1] === 10) return 2;
  const at = message.indexOf("\r\n\r\n");
  return at < 0 ? undefined : at + 4;
}

/** Whether the field has this name; case does not matter (RFC 5322 section 1.2.2). */
export function isNamed({ name: found }: HeaderField, name: string): boolean {
  // Most differ in length or in their first letter, or are written alike: a message asks a hundred times.
  if (found.length !== name.length || ((found.charCodeAt(0) ^ name.charCodeAt(0)) & ~0x20) !== 0)
    return false;
  return found === name || found.toLowerCase() === name.toLowerCase();
}

/** A field's body, unfolded (RFC 5322 section 2.2.3) and trimmed. */
export function fieldBody({ raw }: HeaderField): string {
  return raw
    .slice(raw.indexOf(":") + 1)
    .replace(/\r\n(?=[ \t])/g, "")
    .trim();
}
