/**
 * What a message itself asks of TLS (RFC 8689). REQUIRETLS: every host on the way is authentic, proves its name and
 * offers REQUIRETLS, too. `TLS-Required: No`: the demands of recipients' domains are ignored.
 */

import { type Reply, reply } from "../../../smtp/reply.ts";
import type { Envelope } from "../../spool/envelope.ts";
import type { NextHop } from "../next-hop.ts";

type TlsRequests = Pick<Envelope, "requireTls" | "tlsOptional" | "sender">;

/** Whether the demands of recipients' domains are ignored. REQUIRETLS takes precedence (RFC 8689 section 4.1). */
export const isTlsOptional = ({ requireTls, tlsOptional }: TlsRequests): boolean =>
  tlsOptional === true && requireTls !== true;

/** Distinguishes the destinations of such messages from others: they must not share sessions or suspensions. */
export function tlsRequestSuffix(wishes: TlsRequests): string {
  if (wishes.requireTls) return " (REQUIRETLS)";
  return isTlsOptional(wishes) ? " (TLS not required)" : "";
}

/**
 * The `hops` that the message may use, each with its demands. A host is authentic by a signed MX record, by TLSA
 * records, by an enforced MTA-STS policy, or because the operator named it (section 4.2.1). A permanent reply if there
 * is none.
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
    // Section 5: a report needs verified TLS, too, but not the extension, so that it is not lost.
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
