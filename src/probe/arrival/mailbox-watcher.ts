/**
 * Watches the mailboxes of a route as one. Each is opened at first use, and again after an error; an error in one does
 * not hide the others.
 */
import { exitStatus, Failure } from "../../failure.ts";
import type { Fate } from "../result.ts";
import type { FoundMessage, Mailbox, OpenMailbox, SearchCriteria } from "./mailbox.ts";

export interface MailboxWatcher {
  readonly signal: AbortSignal;
  open(): Promise<void>;
  /** Why one of them cannot be read; undefined where all can. */
  trouble(): Extract<Fate, { readonly kind: "unseen" }> | undefined;
  /**
   * Whether the first, where the message is to arrive, is given up: after a refused login at once, after other errors
   * at the third.
   */
  isHopeless(): boolean;
  look(since: number, wanted: SearchCriteria): Promise<readonly FoundMessage[]>;
  /** Deletes our marked messages from before `before`. */
  tidy(before: number, isOurs: (mark: string) => boolean): Promise<void>;
  close(): Promise<void>;
}

interface WatchedMailbox {
  readonly opening: OpenMailbox;
  mailbox?: Mailbox;
  trouble?: string;
  /** How many more times it is tried. */
  tries: number;
}

const mostTries = 3;

export function watchMailboxes(mailboxes: readonly OpenMailbox[], signal: AbortSignal): MailboxWatcher {
  const watched: readonly WatchedMailbox[] = mailboxes.map((opening) => ({ opening, tries: mostTries }));

  async function shut(one: WatchedMailbox): Promise<void> {
    const { mailbox } = one;
    delete one.mailbox;
    await mailbox?.close();
  }

  /** What `work` finds in each; nothing in one that cannot be read. */
  async function each<Value>(work: (mailbox: Mailbox) => Promise<readonly Value[]>): Promise<Value[]> {
    const found = await Promise.all(
      watched.map(async (one): Promise<readonly Value[]> => {
        if (one.tries === 0) return [];
        try {
          one.mailbox ??= await one.opening(signal);
          const seen = await work(one.mailbox);
          delete one.trouble;
          one.tries = mostTries;
          return seen;
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          one.trouble = error.message;
          one.tries = error.status === exitStatus.noPermission ? 0 : one.tries - 1;
          await shut(one);
          return [];
        }
      }),
    );
    return found.flat();
  }

  return {
    signal,
    async open() {
      await each(async () => []);
    },
    trouble() {
      const reason = watched.find((one) => one.trouble !== undefined)?.trouble;
      return reason === undefined ? undefined : { kind: "unseen", reason };
    },
    isHopeless: () => watched[0]?.tries === 0,
    look: (since, wanted) => each((mailbox) => mailbox.look(since, wanted, signal)),
    async tidy(before, isOurs) {
      await each(async (mailbox) => {
        await mailbox.tidy(before, isOurs, signal);
        return [];
      });
    },
    async close() {
      await Promise.all(watched.map(shut));
    },
  };
}
