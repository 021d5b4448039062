/** Hexadecimal and base 64, read strictly: a value has one spelling, and any other is damaged. */

export type Encoding = "hex" | "base64";

/** The octets, or undefined where `text` is not exactly what {@link Buffer.toString} would write (hex in any case). */
export function decode(text: string, encoding: Encoding): Buffer | undefined {
  const octets = Buffer.from(text, encoding);
  const again = octets.toString(encoding);
  return again === text || (encoding === "hex" && again === text.toLowerCase()) ? octets : undefined;
}
