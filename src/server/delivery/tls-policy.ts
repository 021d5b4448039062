/**
 * What TLS with one host of the next hop must be, whoever asked for it: the operator's route, the recipient
 * domain's MTA-STS policy or its TLSA records, or the message itself (REQUIRETLS).
 */

/** RFC 6698 section 2.1. */
export interface Tlsa {
  readonly usage: number;
  readonly selector: number;
  readonly matching: number;
  readonly data: Uint8Array;
}

export type TlsPolicy =
  /** Where offered; any certificate; in clear after a handshake that failed (RFC 7435). */
  | { readonly kind: "opportunistic" }
  /** Always, with any certificate: TLSA records are there, none of which we can use (RFC 7672 section 2.2). */
  | { readonly kind: "encrypted" }
  /** Always, with a certificate for one of `names` that a known CA signed, or `ca` (PEM) where it is given. */
  | { readonly kind: "verified"; readonly names: readonly string[]; readonly ca?: string }
  /** Always, with a certificate that one of `records` matches; `names` count for usage 2 only (RFC 7672 section 3). */
  | { readonly kind: "dane"; readonly names: readonly string[]; readonly records: readonly Tlsa[] };
