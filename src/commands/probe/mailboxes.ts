/** The mailboxes where mail arrives, as --arrive and probes.toml name them, and how they are watched. */

import { setTimeout as wait } from "node:timers/promises";
import { startSpinner } from "../../cli/terminal.ts";
import { openImap } from "../../probe/arrival/imap.ts";
import { type ImapConnection, type ImapLogin, imapConnection } from "../../probe/arrival/imap-connection.ts";
import { openListener } from "../../probe/arrival/listener.ts";
import type { MailboxLocation } from "../../probe/arrival/location.ts";
import type { OpenMailbox } from "../../probe/arrival/mailbox.ts";
import { openMaildir } from "../../probe/arrival/maildir.ts";
import type { ArrivalDependencies } from "../../probe/arrive.ts";
import type { ArrivalPlan } from "../../probe/plan.ts";

/** What an IMAP mailbox needs besides. */
export interface MailboxAccess {
  readonly password: string;
  readonly spamFolder?: string;
  /** PEM. */
  readonly ca?: string;
}

/** `connectionFor` gives the connection to an account; several mailboxes may share one. */
export function mailboxAt(
  location: MailboxLocation,
  access: MailboxAccess,
  connectionFor: (login: ImapLogin) => ImapConnection = imapConnection,
): OpenMailbox {
  switch (location.kind) {
    case "maildir":
      return () => openMaildir(location.directory);
    case "listener":
      return () => openListener(location, Date.now);
    case "imap": {
      const account = { ...location, ...access };
      const line = connectionFor(account);
      return (signal) => openImap(account, signal, line);
    }
  }
}

/** Does `work` while it watches `arrival`; SIGINT and SIGTERM end the wait; the result is still reported. */
export async function withArrivalWatch(
  arrival: ArrivalPlan,
  work: (watch: ArrivalDependencies) => Promise<number>,
): Promise<number> {
  const stop = new AbortController();
  const end = (): void => stop.abort();
  process.once("SIGTERM", end).once("SIGINT", end);
  const { location, password, spamFolder, ca } = arrival;
  const open: OpenMailbox = mailboxAt(location, {
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
      signaturesOf: async (message) =>
        (await import("./signatures.ts")).signaturesOf(message, arrival.nameserver),
    });
  } finally {
    process.off("SIGTERM", end).off("SIGINT", end);
  }
}
