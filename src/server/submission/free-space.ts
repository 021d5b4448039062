/** What the spool's disk has left, as of a moment ago: MAIL is answered at once, and hardly ever waits for the disk. */
import type { FreeSpace, Spool } from "../spool/spool.ts";

type SpaceSource = Pick<Spool, "free">;

interface Known {
  readonly at: number;
  readonly space: FreeSpace;
}

/** Milliseconds for which an answer is good. Our choice; the spool's own answer may be a second old. */
const good = 250;

const known = new WeakMap<SpaceSource, Known>();

/** Undefined where it must be asked for. `now` is in milliseconds. */
export function knownFreeSpace(disk: SpaceSource, now: number): FreeSpace | undefined {
  const last = known.get(disk);
  return last && Math.abs(now - last.at) < good ? last.space : undefined;
}

/** Throws the system's error. */
export async function askFreeSpace(disk: SpaceSource, now: () => number): Promise<FreeSpace> {
  const space = await disk.free();
  known.set(disk, { at: now(), space });
  return space;
}
