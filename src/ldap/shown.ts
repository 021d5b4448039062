/** Text that somebody else wrote, made fit for a message: one line, plain ASCII, not too long. */

/** `text` with everything but printable ASCII escaped as in JSON; in quotes unless told otherwise. */
export function shown(text: string, quote = '"'): string {
  const escaped = JSON.stringify(text)
    .slice(1, -1)
    .replace(/[^\x20-\x7e]/g, (character) => `\\u${character.charCodeAt(0).toString(16).padStart(4, "0")}`);
  return `${quote}${escaped.length > longest ? `${escaped.slice(0, longest)}...` : escaped}${quote}`;
}

/** Characters; our choice. */
const longest = 120;
