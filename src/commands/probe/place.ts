/** How to open a place where mail arrives; --arrive and probes.toml name the same ones. */
import { openImap } from "../../probe/arrival/imap.ts";
import { type ImapLine, type ImapLogin, imapLine } from "../../probe/arrival/imap-line.ts";
import { openListener } from "../../probe/arrival/listener.ts";
import type { OpenMailbox } from "../../probe/arrival/mailbox.ts";
import { openMaildir } from "../../probe/arrival/maildir.ts";
import type { Where } from "../../probe/arrival/where.ts";

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
