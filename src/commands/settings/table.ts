/** The table of clients. */

import { usageMistake } from "../../cli/options.ts";
import type { Config } from "../../config/settings.ts";
import { nearest } from "../../failure.ts";
import type { MailClient } from "./client.ts";
import { programClients } from "./programs.ts";
import { sshClients } from "./ssh-clients.ts";
import { windowClients } from "./windows.ts";

export const clients: readonly MailClient[] = [...windowClients, ...programClients, ...sshClients];

/** Those that a relay can serve: keys are of use only where it takes them. */
export const clientsOf = ({ ssh }: Pick<Config, "ssh">): readonly MailClient[] =>
  clients.filter((client) => ssh.keys !== "" || !sshClients.includes(client));

/** The client with that name; throws a mistake of the command line with the one that was probably meant. */
export function clientNamed(word: string): MailClient {
  const wanted = word.toLowerCase();
  const found = clients.find(({ id, also = [] }) => id === wanted || also.includes(wanted));
  if (found) return found;
  const meant = nearest(
    wanted,
    clients.flatMap(({ id, also = [] }) => [id, ...also]),
  );
  const known = clients.map(({ id }) => id).join(", ");
  const advice = meant === undefined ? `it knows ${known}` : `did you mean "${meant}"?`;
  throw usageMistake("settings", `there is no client ${JSON.stringify(word)}; ${advice}`);
}
