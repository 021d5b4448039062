/** The mailboxes of a route as one, opened when they are first wanted, and anew after a trouble. One that is in trouble hides no other. */
import { exitStatus, Failure } from "../../failure.ts";
import type { Fate } from "../result.ts";
import type { Letter, Mailbox, OpenMailbox, Wanted } from "./mailbox.ts";

export interface Eyes {
  readonly signal: AbortSignal;
  open(): Promise<void>;
  /** Why one of them cannot be looked at, where that is so. */
  trouble(): Extract<Fate, { readonly kind: "unseen" }> | undefined;
  /** Whether the first, where the message is to arrive, is worth no other look: a refused login is not tried again, all else twice. */
  blind(): boolean;
  look(since: number, wanted: Wanted): Promise<readonly Letter[]>;
  /** Deletes the marked letters from before `before` that are ours. */
  tidy(before: number, isOurs: (mark: string) => boolean): Promise<void>;
  close(): Promise<void>;
}

interface Eye {
  readonly opening: OpenMailbox;
  mailbox?: Mailbox;
  trouble?: string;
  /** How many more times it is tried. */
  tries: number;
}

const mostTries = 3;

export function newEyes(mailboxes: readonly OpenMailbox[], signal: AbortSignal): Eyes {
  const eyes: readonly Eye[] = mailboxes.map((opening) => ({ opening, tries: mostTries }));

  async function shut(eye: Eye): Promise<void> {
    const { mailbox } = eye;
    delete eye.mailbox;
    await mailbox?.close();
  }

  /** What `work` finds in each; nothing where that one is in trouble. */
  async function each<Value>(work: (mailbox: Mailbox) => Promise<readonly Value[]>): Promise<Value[]> {
    const found = await Promise.all(
      eyes.map(async (eye): Promise<readonly Value[]> => {
        if (eye.tries === 0) return [];
        try {
          eye.mailbox ??= await eye.opening(signal);
          const seen = await work(eye.mailbox);
          delete eye.trouble;
          eye.tries = mostTries;
          return seen;
        } catch (error) {
          if (!(error instanceof Failure)) throw error;
          eye.trouble = error.message;
          eye.tries = error.status === exitStatus.noPermission ? 0 : eye.tries - 1;
          await shut(eye);
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
      const reason = eyes.find((eye) => eye.trouble !== undefined)?.trouble;
      return reason === undefined ? undefined : { kind: "unseen", reason };
    },
    blind: () => eyes[0]?.tries === 0,
    look: (since, wanted) => each((mailbox) => mailbox.look(since, wanted, signal)),
    async tidy(before, isOurs) {
      await each(async (mailbox) => {
        await mailbox.tidy(before, isOurs, signal);
        return [];
      });
    },
    async close() {
      await Promise.all(eyes.map(shut));
    },
  };
}
