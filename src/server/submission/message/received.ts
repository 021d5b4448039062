/** The trace field that we put on top of every message (RFC 5321 section 4.4). */
import { isIPv6 } from "node:net";
import { formatDate } from "../../../smtp/date.ts";

export interface Passage {
  readonly hostname: string;
  /** Who sent it, where the site wants everybody to read that. */
  readonly client?: { readonly helo: string; readonly address: string };
  /** IANA's name of the TLS cipher. */
  readonly cipher: string;
  readonly smtputf8: boolean;
  readonly id: string;
  /** The only recipient. More than one would tell them of each other (RFC 5321 section 7.2). */
  readonly recipient?: string;
  /** Milliseconds since the epoch. */
  readonly time: number;
}

/** The whole field with its line ends. */
export function receivedField({ hostname, client, cipher, smtputf8, id, recipient, time }: Passage): string {
  const protocol = smtputf8 ? "UTF8SMTPSA" : "ESMTPSA"; // RFC 3848, RFC 6531 section 4.3
  const only = recipient === undefined ? "" : ` for <${recipient}>`;
  return (
    `Received: from ${client ? shown(client) : "authenticated-user"} by ${hostname}\r\n` +
    `\twith ${protocol} id ${id}${only}\r\n` +
    `\ttls ${cipher}; ${formatDate(time)}\r\n` // RFC 8314 section 4.3
  );
}

function shown({ helo, address }: { readonly helo: string; readonly address: string }): string {
  const name = /^(?:[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\])$/.test(helo) ? helo : "unknown";
  return `${name} ([${isIPv6(address) ? "IPv6:" : ""}${address}])`;
}
