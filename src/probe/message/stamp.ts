/** Date and Message-ID of a probe's message, in the zone of the host: a test message has nothing to hide. */

const days = ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"];
const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];

const two = (value: number): string => String(value).padStart(2, "0");

/** `Sun, 22 Nov 2026 14:02:46 +0100` for milliseconds since the epoch; English whatever the locale (RFC 5322 section 3.3). */
export function localDate(time: number): string {
  const at = new Date(time);
  const clock = [at.getHours(), at.getMinutes(), at.getSeconds()].map(two).join(":");
  const east = -at.getTimezoneOffset();
  const zone = `${east < 0 ? "-" : "+"}${two(Math.floor(Math.abs(east) / 60))}${two(Math.abs(east) % 60)}`;
  return `${days[at.getDay()]}, ${two(at.getDate())} ${months[at.getMonth()]} ${at.getFullYear()} ${clock} ${zone}`;
}

/** `20261122140246.004711@client.example.org`: the second, the process and the host, without angle brackets. */
export function messageId(time: number, process: number, host: string): string {
  const at = new Date(time);
  const parts = [at.getMonth() + 1, at.getDate(), at.getHours(), at.getMinutes(), at.getSeconds()];
  return `${at.getFullYear()}${parts.map(two).join("")}.${String(process).padStart(6, "0")}@${host}`;
}
