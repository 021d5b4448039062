/**
 * What the DNS demands of TLS with one host of a domain (RFC 7672 section 2.2). The domain's MX answer is known to be
 * authentic; the host's addresses have just been asked for.
 */
import { type Reply, reply } from "../../../smtp/reply.ts";
import type { Answer, Resolver } from "../route/resolver.ts";
import { isUsable } from "./dane.ts";
import type { TlsPolicy } from "./policy.ts";

export interface DaneHost {
  readonly host: string;
  readonly port: number;
  /** The recipient's domain, and what its CNAME leads to. */
  readonly domains: readonly string[];
  /** About its addresses. */
  readonly answers: readonly Answer<string>[];
}

/**
 * The policy; undefined where DANE has nothing to say; a temporary reply where nobody can tell, so that the host must
 * not be used: to go on without would be what an attacker wants.
 */
export async function danePolicy(
  { host, port, domains, answers }: DaneHost,
  signed: NonNullable<Resolver["signed"]>,
): Promise<TlsPolicy | Reply | undefined> {
  const found = answers.filter(({ kind }) => kind === "found");
  const alias = found.find((answer) => answer.alias !== undefined)?.alias;
  const bases = new Set<string>();
  if (found.length > 0 && found.every(({ authentic }) => authentic === true)) {
    // Section 2.2.2: where the CNAMEs lead, then the name itself.
    bases.add(alias ?? host).add(host);
  } else if (alias !== undefined) {
    // A signed CNAME that leads where nothing is signed: the name itself may have records.
    const first = await signed.cname(host);
    if (first.kind === "trouble") return unknown(host, first.reason);
    if (first.authentic === true) bases.add(host);
  }
  for (const base of bases) {
    const answer = await signed.tlsa(`_${port}._tcp.${base}`);
    if (answer.kind === "trouble") return unknown(host, answer.reason);
    if (answer.kind !== "found" || answer.authentic !== true) continue;
    const records = answer.values.filter(isUsable);
    if (records.length === 0) return { kind: "encrypted" };
    return { kind: "dane", names: [...new Set([base, ...domains])], records };
  }
  return undefined;
}

/** 4.7.5: "cryptographic failure" (RFC 3463 section 3.8), as Postfix has it. */
const unknown = (host: string, reason: string): Reply =>
  reply(451, "4.7.5", `the DNS does not tell whether ${host} has TLSA records (${reason})`);
