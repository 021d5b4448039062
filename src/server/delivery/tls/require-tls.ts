/**
 * What a message itself asks of TLS on its way (RFC 8689): with REQUIRETLS that every host is known for certain, proves
 * its name and takes the promise over; with `TLS-Required: No` that the demands of recipients' domains are passed over.
 */

import { type Reply, reply } from "../../../smtp/reply.ts";
import type { Envelope } from "../../spool/envelope.ts";
import type { NextHop } from "../next-hop.ts";

type TlsRequests = Pick<Envelope, "requireTls" | "tlsOptional" | "sender">;

/** Whether the demands of recipients' domains are passed over: REQUIRETLS counts more (RFC 8689 section 4.1). */
export const isTlsOptional = ({ requireTls, tlsOptional }: TlsRequests): boolean =>
  tlsOptional === true && requireTls !== true;

/** What tells the destination of such a message from that of others: they must not share a session, nor a pause. */
export function tlsRequestSuffix(wishes: TlsRequests): string {
  if (wishes.requireTls) return " (REQUIRETLS)";
  return isTlsOptional(wishes) ? " (TLS not required)" : "";
}

/**
 * Those of `hops` that a message with these wishes may go to, each held to what it asks. A host is known for certain by
 * a signed MX record, by TLSA records, by an MTA-STS policy in force, or because the operator named it (section 4.2.1).
 * A permanent reply where there is none.
 */
export function permittedHops(
  hops: readonly NextHop[],
  { requireTls, sender }: TlsRequests,
): readonly NextHop[] | Reply {
  if (!requireTls) return hops;
  const left = hops.flatMap((hop): readonly NextHop[] => {
    const { tls, authentic } = hop;
    const proven = tls?.kind === "dane" || tls?.kind === "verified";
    if (!proven && !authentic) return [];
    // Section 5: a report goes protected as well, but is not lost because the next host does not know the extension.
    const bound = sender !== "";
    return [{ ...hop, tls: proven ? tls : { kind: "verified", names: [hop.host] }, requireTls: bound }];
  });
  if (left.length > 0) return left;
  return reply(
    550,
    "5.7.10",
    "the message must go by hosts that are known for certain (REQUIRETLS), and no signed MX records or MTA-STS policy tell of such",
  );
}
