/** Octets as swaks' --show-raw-text shows them: 16 to a line, counted in decimal. */

/** Lines such as `0000: 32 32 30 20  53 45 52 56  45 52 20 45  53 4D 54 50    220.SERVER.ESMTP`. */
export function hexdump(octets: Uint8Array): readonly string[] {
  return Array.from({ length: Math.ceil(octets.length / 16) }, (_, row) => {
    const line = octets.subarray(row * 16, row * 16 + 16);
    const fours = [0, 4, 8, 12].map((from) =>
      [...line.subarray(from, from + 4)]
        .map((octet) => octet.toString(16).toUpperCase().padStart(2, "0"))
        .join(" "),
    );
    const text = [...line]
      .map((octet) => (octet > 0x20 && octet < 0x7f ? String.fromCharCode(octet) : "."))
      .join("");
    return `${String(row * 16).padStart(4, "0")}: ${fours.map((four) => four.padEnd(11)).join("  ")}    ${text.padEnd(16)}`;
  });
}
