/** A spool full of messages, for the benchmarks of a long queue. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";

/** @typedef {import("../src/server/spool/envelope.ts").Envelope} Envelope */

/** @type {typeof import("../src/server/spool/envelope-file.ts")} */
const { formatEnvelope } = await import(
  new URL("../dist/server/spool/envelope-file.js", import.meta.url).href
);
/** @type {typeof import("../src/server/spool/spool.ts")} */
const { openSpool } = await import(new URL("../dist/server/spool/spool.js", import.meta.url).href);

/**
 * Puts `messages` messages with this `body`, accepted an hour ago, into a new spool; `more` says what else is in an
 * envelope. Nothing is fsynced: only how it is read matters.
 * @param {string} directory
 * @param {number} messages
 * @param {string} body
 * @param {(number: number) => Partial<Envelope>} more
 */
export async function fill(directory, messages, body, more) {
  const spool = await openSpool(directory, Date.now);
  await spool.close();
  const accepted = Date.now() - 3_600_000;
  const first = BigInt(accepted) * 16n;
  for (let number = 0; number < messages; number++) {
    const id = (first + BigInt(number)).toString(16).toUpperCase().padStart(12, "0");
    const envelope = formatEnvelope({
      id,
      accepted,
      login: "user1",
      sender: "user1@example.org",
      size: body.length,
      eightBit: false,
      smtputf8: false,
      recipients: [{ address: `r${number}@example.net`, state: "waiting" }],
      attempts: 0,
      due: accepted,
      warned: true,
      ...more(number),
    });
    await Promise.all([
      writeFile(join(directory, "messages", id), body, { mode: 0o600 }),
      writeFile(join(directory, "queue", id), envelope, { mode: 0o600 }),
    ]);
  }
}
