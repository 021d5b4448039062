/** Waiting for what another program does. */
import { setTimeout as pause } from "node:timers/promises";

/** Asks `look` again and again until it finds something; rejects, naming `what`, when it does not within 20 seconds. */
export async function until<Found>(
  what: string,
  look: () => Found | undefined | Promise<Found | undefined>,
): Promise<Found> {
  const end = Date.now() + 20_000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`waited for ${what} for 20 seconds`);
    await pause(20);
  }
}
