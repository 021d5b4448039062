/** What a spool owes to the letters of a traced run, by what had left the program when the power failed, and whether it pays. */
import { text } from "node:stream/consumers";
import type { Disk } from "../../src/server/spool/disk.ts";
import { isDamaged, type JournalSettings, openSpool } from "../../src/server/spool/spool.ts";
import { isWhole, tokenIn, toldAbout } from "../torture/letter.ts";

/** One copy of a letter, and the places of the trace from which on something is known of it. */
export interface Copy {
  readonly token: string;
  readonly recipient: string;
  /** The client has begun to send the letter. */
  readonly sent: number;
  /** 250 leaves the program. */
  readonly promised: number | undefined;
  /** The program has read the next hop's 250: for the letter, or for a report about it. */
  readonly taken: number | undefined;
  /** It says in its log that it is done with the message; from then on that must not come back. */
  readonly removed: number | undefined;
}

/** What is owed at one place of the trace. */
export interface Owed {
  readonly isThere: ReadonlySet<Copy>;
  readonly isGone: ReadonlySet<Copy>;
  readonly isKnown: ReadonlySet<Copy>;
}

export function owedAt(copies: readonly Copy[], place: number): Owed {
  const before = (at: number | undefined): boolean => at !== undefined && at < place;
  const those = (is: (copy: Copy) => boolean): ReadonlySet<Copy> => new Set(copies.filter(is));
  return {
    isThere: those(({ promised, taken }) => before(promised) && !before(taken)),
    isGone: those(({ removed }) => before(removed)),
    isKnown: those(({ sent }) => before(sent)),
  };
}

/** A recipient whom a message in the spool still has to reach; of a report, whom it is about. */
interface Waiting {
  readonly token: string;
  readonly recipient: string;
  readonly isReport: boolean;
}

/** Opens the spool in `directory` as the next start does, and compares. Resolves to what is wrong, a line each. */
export async function unpaid(
  disk: Disk,
  directory: string,
  journal: JournalSettings | undefined,
  owed: Owed,
): Promise<readonly string[]> {
  const wrong: string[] = [];
  const waiting: Waiting[] = [];
  try {
    const spool = await openSpool(directory, () => 0, disk, journal);
    for (const id of await spool.ids()) {
      const envelope = await spool.read(id);
      if (isDamaged(envelope)) {
        wrong.push(`${id} is damaged: ${envelope.damaged}`);
        continue;
      }
      const message = await text(spool.body(id));
      const token = tokenIn(message) ?? "";
      const isReport = envelope.sender === "";
      if (!isReport && !isWhole(message)) wrong.push(`${token} is altered`);
      const known = [...owed.isKnown]
        .filter((copy) => copy.token === token)
        .map(({ recipient }) => recipient);
      const recipients = isReport ? toldAbout(message) : envelope.recipients.map(({ address }) => address);
      if (recipients.length === 0 || !recipients.every((recipient) => known.includes(recipient))) {
        wrong.push(`${id} with the letter ${token} is invented`);
      }
      const left = isReport
        ? recipients
        : envelope.recipients.flatMap(({ address, state }) => (state === "waiting" ? [address] : []));
      waiting.push(...left.map((recipient) => ({ token, recipient, isReport })));
    }
    await spool.close();
  } catch (error) {
    return [String(error)];
  }
  const has = (copy: Copy, letters: boolean): number =>
    waiting.filter(
      ({ token, recipient, isReport }) =>
        token === copy.token && recipient === copy.recipient && !(letters && isReport),
    ).length;
  for (const copy of owed.isThere)
    if (has(copy, false) === 0) wrong.push(`${copy.token} to ${copy.recipient} is lost`);
  for (const copy of owed.isGone)
    if (has(copy, true) > 0) wrong.push(`${copy.token} to ${copy.recipient} came back`);
  for (const copy of owed.isKnown)
    if (has(copy, true) > 1) wrong.push(`${copy.token} to ${copy.recipient} is there twice`);
  return wrong;
}
