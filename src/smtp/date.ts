/** The date-time of header fields and reports (RFC 5322 section 3.3). */

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

/**
 * `Sun, 22 Nov 2026 13:02:46 +0000` for milliseconds since the epoch. Always in UTC: the host's
 * time zone would reveal where the senders are.
 */
export function formatDate(time: number): string {
  const second = Math.floor(time / 1_000);
  if (second !== last.second) last = { second, text: textOf(new Date(time)) };
  return last.text;
}

/** The last one: many messages come in the same second. */
let last = { second: Number.NaN, text: "" };

function textOf(at: Date): string {
  const clock = [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()]
    .map((part) => String(part).padStart(2, "0"))
    .join(":");
  return `${days[at.getUTCDay()]}, ${at.getUTCDate()} ${months[at.getUTCMonth()]} ${at.getUTCFullYear()} ${clock} +0000`;
}
