/**
 * What TLS with one host of the next hop must be, whoever asked for it: the operator's route, the recipient
 * domain's MTA-STS policy or its TLSA records, or the message itself (REQUIRETLS). Pure; session.ts does it.
 */

import { isIP } from "node:net";
import { type ConnectionOptions, checkServerIdentity } from "node:tls";
import type { TlsaRecord } from "../dns/message.ts";

export type TlsPolicy =
  /** Where offered; any certificate; in clear after a handshake that failed (RFC 7435). */
  | { readonly kind: "opportunistic" }
  /** Always, with any certificate: TLSA records are there, none of which we can use (RFC 7672 section 2.2). */
  | { readonly kind: "encrypted" }
  /** Always, with a certificate for one of `names` that a known CA signed, or `ca` (PEM) where it is given. */
  | { readonly kind: "verified"; readonly names: readonly string[]; readonly ca?: string }
  /** Always, with a certificate that one of `records` matches; `names` count for usage 2 only (RFC 7672 section 3). */
  | { readonly kind: "dane"; readonly names: readonly string[]; readonly records: readonly TlsaRecord[] };

/** What the host itself has to do with it. */
export interface HostTlsNeeds {
  readonly host: string;
  /** TLS from the first octet. */
  readonly implicit?: boolean;
  /** What the DNS or a policy demands; absent where the route's settings are all. */
  readonly tls?: TlsPolicy;
}

/** What the operator demands of all hosts of a route. */
export interface RouteTlsNeeds {
  /** The least. */
  readonly tls: "opportunistic" | "encrypted" | "verified";
  /** Certificates in PEM to trust in place of the known CAs. */
  readonly ca?: string;
  /** A login, which goes over TLS only. */
  readonly credentials?: object;
}

/**
 * The stricter of what the host's domain and what the operator demand. Records that DNSSEC vouches for prove more than
 * a known CA, so they stand above it; a password is never worth less than a connection that is encrypted.
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

/** For the handshake. What `dane` demands can be seen only after it. */
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
