/** The beginning of a message, gathered octet by octet if need be until its header is whole. */

export interface Head {
  /** Adds octets; gives all that came so far once the empty line is among it, and where that line begins. */
  add(chunk: Uint8Array): { readonly octets: Buffer; readonly end: number } | undefined;
  /** All that came so far. */
  octets(): Buffer;
}

const emptyLine = "\r\n\r\n";

export function newHead(): Head {
  let room = Buffer.allocUnsafe(8_192); // doubled when full: one octet at a time costs no more than many
  let length = 0;
  const octets = (): Buffer => room.subarray(0, length);
  return {
    octets,
    add(chunk) {
      if (length + chunk.length > room.length) {
        const wider = Buffer.allocUnsafe(Math.max(2 * room.length, length + chunk.length));
        octets().copy(wider);
        room = wider;
      }
      const from = Math.max(0, length - emptyLine.length + 1);
      room.set(chunk, length);
      length += chunk.length;
      const whole = octets();
      if (whole[0] === 13 && whole[1] === 10) return { octets: whole, end: 0 }; // no header at all
      const at = whole.indexOf(emptyLine, from);
      return at < 0 ? undefined : { octets: whole, end: at + 2 };
    },
  };
}
