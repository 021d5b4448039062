/** What TLSA records say about a server that the probe has met, by the relay's own resolver and rules. */
import type { X509Certificate } from "node:crypto";
import { getServers } from "node:dns";
import type { Dane } from "../../probe/transaction/session.ts";
import { asking } from "../../server/delivery/route/dns-query.ts";
import { validating } from "../../server/delivery/route/validating.ts";
import { matchesTlsa } from "../../server/delivery/tls/dane.ts";

/** An explanation is not waited for longer: our choice. */
const patience = { timeout: 2000, tries: 1 };

/** Asks the first name server of the system. Its word on signatures counts only where it runs on this host. */
export async function dane(
  host: string,
  port: number,
  chain: readonly X509Certificate[],
): Promise<Dane | undefined> {
  const [server] = getServers();
  const [, address = "", at] = /^\[?([^\]]*?)\]?(?::(\d+))?$/.exec(server ?? "") ?? [];
  if (address === "") return undefined;
  const resolver = validating(asking({ host: address, port: Number(at ?? 53) }, patience));
  const answer = await resolver.signed?.tlsa(`_${port}._tcp.${host}`);
  if (answer?.kind !== "found") return undefined;
  return {
    records: answer.values.length,
    authentic: answer.authentic === true && /^(?:127\.|::1$)/.test(address),
    matches: matchesTlsa(chain, answer.values, [host], Date.now()),
  };
}
