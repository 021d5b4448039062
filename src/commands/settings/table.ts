/** The table of clients. */

import { usageMistake } from "../../cli/options.ts";
import { nearest } from "../../failure.ts";
import type { MailClient } from "./client.ts";
import { programClients } from "./programs.ts";
import { windowClients } from "./windows.ts";

export const clients: readonly MailClient[] = [...windowClients, ...programClients];

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
