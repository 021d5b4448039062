/** What comes of messages that were in hand when the process came to an unclean end: at the second time they are held. */
import { errorCode, errorText } from "../../failure.ts";
import { log } from "../../server/log/log.ts";
import type { InHandFile } from "../../server/spool/in-hand-file.ts";
import { isDamaged, type Spool } from "../../server/spool/spool.ts";

const by = "tpa-submit";

/** Why such a message is held: `queue show` tells it. */
const reason =
  "it was in hand at two unclean ends of the relay in a row; queue release tries it again, queue drop is rid of it";

/** Before anything is delivered. Never rejects: what cannot be held is tried again, which is no worse than before. */
export async function holdCulprits(file: InHandFile, spool: Spool, now: () => number): Promise<void> {
  for (const id of file.suspects) log("suspected", { id });
  for (const id of file.culprits) {
    try {
      const envelope = (await spool.has(id)) ? await spool.read(id) : undefined;
      if (envelope && !isDamaged(envelope) && envelope.held === undefined) {
        const at = now();
        await spool.record({ ...envelope, held: { at, by, reason } });
        await spool.note(id, [{ at, act: "hold", by, reason }]);
        log("held", { id, reason });
      }
      file.clear(id);
    } catch (error) {
      if (errorCode(error) === "") throw error;
      log("spool-trouble", { id, reason: errorText(error) });
    }
  }
}

/** `spool`, whose messages come to a good end when what became of them is recorded, or when they are let go. */
export function clearing(spool: Spool, file: InHandFile): Spool {
  return {
    ...spool,
    async record(envelope) {
      await spool.record(envelope);
      file.clear(envelope.id);
    },
    async remove(id) {
      await spool.remove(id);
      file.clear(id);
    },
  };
}
