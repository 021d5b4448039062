/** The mailboxes of a route as one, opened when they are first wanted, and anew after a trouble. */
import { Failure } from "../../failure.ts";
import type { Letter, Mailbox, OpenMailbox } from "../arrival/mailbox.ts";
import type { Fate } from "../verdict.ts";

export interface Eyes {
  readonly signal: AbortSignal;
  open(): Promise<readonly Mailbox[]>;
  trouble(): Fate | undefined;
  look(since: number): Promise<readonly Letter[]>;
  close(): Promise<void>;
}

export function newEyes(mailboxes: readonly OpenMailbox[], signal: AbortSignal): Eyes {
  const open: Mailbox[] = [];
  let trouble: Fate | undefined;

  const close = async (): Promise<void> => {
    await Promise.all(open.splice(0).map((mailbox) => mailbox.close()));
  };

  async function seeing<Value>(work: () => Promise<readonly Value[]>): Promise<readonly Value[]> {
    try {
      if (open.length === 0) for (const opening of mailboxes) open.push(await opening(signal));
      trouble = undefined;
      return await work();
    } catch (error) {
      if (!(error instanceof Failure)) throw error;
      trouble = { kind: "unseen", reason: error.message };
      await close();
      return [];
    }
  }

  return {
    signal,
    open: () => seeing(async () => open),
    trouble: () => trouble,
    look: (since) =>
      seeing(async () => (await Promise.all(open.map((mailbox) => mailbox.look(since, signal)))).flat()),
    close,
  };
}
