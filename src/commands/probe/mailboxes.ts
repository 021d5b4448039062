/** How to open a place where mail arrives; --arrive and probes.toml name the same ones. */

import { setTimeout as wait } from "node:timers/promises";
import { startSpinner } from "../../cli/spinner.ts";
import { openImap } from "../../probe/arrival/imap.ts";
import { type ImapLine, type ImapLogin, imapLine } from "../../probe/arrival/imap-connection.ts";
import { openListener } from "../../probe/arrival/listener.ts";
import type { Where } from "../../probe/arrival/location.ts";
import type { OpenMailbox } from "../../probe/arrival/mailbox.ts";
import { openMaildir } from "../../probe/arrival/maildir.ts";
import type { Watch } from "../../probe/arrive.ts";
import type { Arrival } from "../../probe/plan.ts";

/** What a mailbox by IMAP wants besides. */
export interface Access {
  readonly password: string;
  readonly spamFolder?: string;
  /** PEM. */
  readonly ca?: string;
}

/** `lineFor` gives the line to the account, of which many may have the same. */
export function placeAt(
  where: Where,
  access: Access,
  lineFor: (login: ImapLogin) => ImapLine = imapLine,
): OpenMailbox {
  switch (where.kind) {
    case "maildir":
      return () => openMaildir(where.directory);
    case "listener":
      return () => openListener(where, Date.now);
    case "imap": {
      const account = { ...where, ...access };
      const line = lineFor(account);
      return (signal) => openImap(account, signal, line);
    }
  }
}

// `tpa-submit probe --arrive`: the wiring to this host.

/** Does `work` while it watches `arrival`; SIGINT and SIGTERM end the waiting, not the telling. */
export async function watching(arrival: Arrival, work: (watch: Watch) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  const { where, password, spamFolder, ca } = arrival;
  const open: OpenMailbox = placeAt(where, {
    password,
    ...(spamFolder !== undefined && { spamFolder }),
    ...(ca !== undefined && { ca }),
  });
  try {
    return await work({
      open,
      waiting(words) {
        const spinner = startSpinner(words);
        return () => spinner.stop();
      },
      pause: async (milliseconds, signal) => {
        await wait(Math.max(0, milliseconds), undefined, { signal }).catch(() => undefined); // told to stop: it is over
      },
      signal: stop.signal,
    });
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}
