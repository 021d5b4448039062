/** Whether a message could be taken now: its steps (promise.ts), with files that mean nothing, each in its folder. */
import { dirname, join } from "node:path";
import { type Folders, unlinkIfThere, writeDraft } from "./promise.ts";

/** No queue ID, so that nobody reads it; what a crash leaves of it is overwritten by the next trial. */
export const trialName = ".trial";

/** Throws the system's error of the first step that fails. */
export async function tryOut({ disk, messages, drafts, queue }: Folders): Promise<void> {
  const paths = [messages.path, drafts, queue.path].map((folder) => join(folder, trialName));
  try {
    await Promise.all(paths.map((path) => writeDraft(disk, path, `${dirname(path)} can be written\n`)));
    await Promise.all([messages.sync(), queue.sync()]);
  } finally {
    // Promise.all gives up at the first: a file that is made later than this is overwritten by the next trial.
    await Promise.all(paths.map((path) => unlinkIfThere(disk, path).catch(() => undefined)));
  }
}
