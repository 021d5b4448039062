/** User names and passwords in the form in which SASL compares them (RFC 4013). */

// RFC 3454: characters that become a blank (table C.1.2), that are dropped (B.1), and that are prohibited (C.2 to C.9):
// control characters, private use, noncharacters, marks that change the direction of writing.
const blank = /[\u00a0\u1680\u2000-\u200a\u202f\u205f\u3000]/g;
const invisible = /\u00ad|\u034f|\u1806|[\u180b-\u180d]|[\u200b-\u200d]|\u2060|[\ufe00-\ufe0f]|\ufeff/g;
const prohibited =
  /[\p{Cc}\p{Co}\p{Cs}\p{Noncharacter_Code_Point}]|\u06dd|\u070f|\u180e|[\u200e\u200f\u2028-\u202e\u2061-\u2063\u206a-\u206f\u2ff0-\u2ffb\ufff9-\ufffd]|[\u{1d173}-\u{1d17a}\u{e0001}\u{e0020}-\u{e007f}]/u;

/**
 * SASLprep (RFC 4013): texts that look the same become the same. Undefined if a character is prohibited.
 *
 * A server prepares user names only: passwords were hashed before, by whatever program, and must stay as they are. A
 * client prepares both for SCRAM (RFC 5802 section 5.1).
 */
export function saslprep(name: string): string | undefined {
  const prepared = name.replace(blank, " ").replace(invisible, "").normalize("NFKC");
  return prohibited.test(prepared) ? undefined : prepared;
}
