/** Waiting for what another program does. */
import { setTimeout as pause } from "node:timers/promises";

/**
 * Asks `look` again and again until it finds something; rejects, naming `what`, when it does not within so many seconds.
 */
export async function until<Found>(
  what: string,
  look: () => Found | undefined | Promise<Found | undefined>,
  seconds = 20,
): Promise<Found> {
  const end = Date.now() + seconds * 1000;
  for (;;) {
    const found = await look();
    if (found !== undefined) return found;
    if (Date.now() > end) throw new Error(`waited for ${what} for ${String(seconds)} seconds`);
    await pause(20);
  }
}

/** As `promise`; rejects, naming `what`, when it takes longer than so many milliseconds. */
export async function within<Value>(
  what: string,
  milliseconds: number,
  promise: Promise<Value>,
): Promise<Value> {
  let late: NodeJS.Timeout | undefined;
  const bell = new Promise<never>((_, reject) => {
    const why = `waited for ${what} for ${String(milliseconds / 1_000)} seconds`;
    late = setTimeout(() => reject(new Error(why)), milliseconds);
  });
  try {
    return await Promise.race([promise, bell]);
  } finally {
    clearTimeout(late);
  }
}
