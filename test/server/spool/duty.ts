/**
 * What a spool owes after a crash, by what the world had been told until then, and whether it pays.
 */
import { text } from "node:stream/consumers";
import type { Disk } from "../../../src/server/spool/disk.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { isDamaged, openSpool, type Spool } from "../../../src/server/spool/spool.ts";

/** Something that began, or that was told to the world: to the client ("250"), or to the delivery. */
export interface Fact {
  readonly what: "accepting" | "accepted" | "recording" | "recorded" | "removing" | "removed";
  readonly id: string;
  /** The envelope's `attempts`, which tells its states apart; 0 when accepted. */
  readonly attempts: number;
}

/** What one message may look like now. */
interface Duty {
  /** "maybe" between the beginning of a step and the word that it is done. */
  readonly there: "yes" | "no" | "maybe";
  /** The values of `attempts` that the envelope may have. */
  readonly attempts: readonly number[];
}

/** Follows the facts, in their order, of each message. */
export function duties(facts: readonly Fact[]): ReadonlyMap<string, Duty> {
  const found = new Map<string, Duty>();
  for (const { what, id, attempts } of facts) {
    const before = found.get(id)?.attempts ?? [];
    const duty = {
      accepting: { there: "maybe", attempts: [attempts] },
      accepted: { there: "yes", attempts: [attempts] },
      recording: { there: "yes", attempts: [...before, attempts] },
      recorded: { there: "yes", attempts: [attempts] },
      removing: { there: "maybe", attempts: before },
      removed: { there: "no", attempts: [] },
    } as const satisfies Record<Fact["what"], Duty>;
    found.set(id, duty[what]);
  }
  return found;
}

/**
 * Opens the spool as the next start would and compares. Resolves to what is wrong, a line each.
 * `bodyOf` gives the body that the message must have.
 */
export async function unpaid(
  disk: Disk,
  directory: string,
  owed: ReadonlyMap<string, Duty>,
  bodyOf: (id: string) => string,
): Promise<readonly string[]> {
  const wrong: string[] = [];
  let spool: Spool;
  try {
    spool = await openSpool(directory, () => 0, disk);
  } catch (error) {
    return [String(error)];
  }
  const ids = await spool.ids();
  for (const [id, { there }] of owed) {
    if (there === "yes" && !ids.includes(id)) wrong.push(`${id} is lost`);
    if (there === "no" && ids.includes(id)) wrong.push(`${id} came back`);
  }
  for (const id of ids) {
    const envelope: Envelope | { readonly damaged: string } = await spool.read(id);
    const duty = owed.get(id);
    if (isDamaged(envelope)) wrong.push(`${id} is damaged: ${envelope.damaged}`);
    else if (!duty?.attempts.includes(envelope.attempts)) wrong.push(`${id} forgot what was recorded`);
    else if ((await text(spool.body(id))) !== bodyOf(id)) wrong.push(`${id} has another body`);
  }
  const left = [...(await disk.list(`${directory}/drafts`)), ...(await disk.list(`${directory}/messages`))];
  for (const name of left) if (!ids.includes(name)) wrong.push(`${name} was not swept`);
  await spool.close();
  return wrong;
}
