/**
 * What TLS with a next hop must be, whoever demands it: the operator's route, the recipient domain's MTA-STS policy or
 * TLSA records, or the message itself (REQUIRETLS). Pure; session.ts enforces it.
 */

import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import type { TlsaRecord } from "../dns/message.ts";

export type TlsPolicy =
  /** If offered, with any certificate; in clear after a failed handshake (RFC 7435). */
  | { readonly kind: "opportunistic" }
  /** Always, with any certificate: there are TLSA records, but none that we can use (RFC 7672 section 2.2). */
  | { readonly kind: "encrypted" }
  /** Always, with a certificate for one of `names` that a known CA signed, or `ca` (PEM) if given. */
  | { readonly kind: "verified"; readonly names: readonly string[]; readonly ca?: string }
  /** Always, with a certificate that one of `records` matches; `names` count for usage 2 only (RFC 7672 section 3). */
  | { readonly kind: "dane"; readonly names: readonly string[]; readonly records: readonly TlsaRecord[] };

/** The host's side of the policy. */
export interface HostTlsNeeds {
  readonly host: string;
  /** TLS from the first octet. */
  readonly implicit?: boolean;
  /** What DANE or MTA-STS demands; absent if only the route's settings count. */
  readonly tls?: TlsPolicy;
}

/** The operator's side, for all hosts of a route. */
export interface RouteTlsNeeds {
  /** The least that is demanded. */
  readonly tls: "opportunistic" | "encrypted" | "verified";
  /** Certificates in PEM to trust instead of the known CAs. */
  readonly ca?: string;
  /** A login, which is sent over TLS only. */
  readonly credentials?: object;
}

/**
 * The stricter of the demands of the host's domain and of the operator. TLSA records signed with DNSSEC prove more than
 * a known CA, so they come first. A password always needs encryption.
 */
export function policyFor(hop: HostTlsNeeds, settings: RouteTlsNeeds): TlsPolicy {
  const { kind } = hop.tls ?? { kind: "opportunistic" };
  if (hop.tls?.kind === "dane") return hop.tls;
  if (hop.tls?.kind === "verified" || settings.tls === "verified") {
    const names = hop.tls?.kind === "verified" ? hop.tls.names : [hop.host];
    const ca = hop.tls?.kind === "verified" && hop.tls.ca !== undefined ? hop.tls.ca : settings.ca;
    return { kind: "verified", names, ...(ca !== undefined && { ca }) };
  }
  const needed = kind === "encrypted" || settings.tls === "encrypted" || hop.implicit || settings.credentials;
  return { kind: needed ? "encrypted" : "opportunistic" };
}

/** Options of the handshake. The certificate for `dane` can be checked only after it. */
export function tlsOptions(policy: TlsPolicy, host: string): ConnectionOptions {
  const names = "names" in policy ? policy.names : [host];
  const [servername = host] = names;
  return {
    minVersion: "TLSv1.2",
    rejectUnauthorized: policy.kind === "verified",
    ...(isIP(servername) === 0 && { servername }), // RFC 6066 section 3: SNI has no addresses
    ...(policy.kind === "verified" && {
      checkServerIdentity: (_, certificate) => {
        const errors = names.map((name) => checkServerIdentity(name, certificate));
        return errors.includes(undefined) ? undefined : errors[0];
      },
      ...(policy.ca !== undefined && { ca: policy.ca }),
    }),
  };
}
