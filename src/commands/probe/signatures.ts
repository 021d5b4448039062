/** What verifies DKIM signatures on this host: the DNS, and the table of domains, which is large. */
import { Resolver } from "node:dns/promises";
import { records } from "../../probe/checkup/spf.ts";
import { type ArrivedSignatures, arrivedSignatures } from "../../probe/signatures.ts";
import type { TxtLookup } from "../../smtp/dkim/verify.ts";

/** Milliseconds for one answer, and how often it is asked for. Our choice. */
const patience = { timeout: 5000, tries: 2 };

/** Of a whole message. `nameserver` as node:dns has it; without it the system's. */
export async function signaturesOf(message: Buffer, nameserver?: string): Promise<ArrivedSignatures> {
  const resolver = new Resolver(patience);
  if (nameserver !== undefined) resolver.setServers([nameserver]);
  const lookUp: TxtLookup = async (name) => {
    const found = await records(resolver.resolveTxt(name));
    return found === "trouble" ? found : found.map((strings) => strings.join(""));
  };
  return arrivedSignatures(message, { lookUp, organisation: await organisations() }, Date.now());
}

/** The domain under which a name is registered; private suffixes such as github.io count, as DMARC has it. */
export async function organisations(): Promise<(name: string) => string | undefined> {
  const { getDomain } = await import("tldts");
  return (name) => getDomain(name, { allowPrivateDomains: true }) ?? undefined;
}
