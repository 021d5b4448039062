/** What the DNS says of the service, judged as the checkup from outside judges it. */

import { perDomain } from "../../config/domains.ts";
import type { Config } from "../../config/settings.ts";
import { gatherDns } from "../../probe/checkup/gather.ts";
import { judgeDns, judgeMx } from "../../probe/checkup/judge.ts";
import { records } from "../../probe/checkup/spf.ts";
import type { Look } from "./context.ts";
import { dnsOf } from "./outgoing.ts";
import { type Judgement, judged } from "./rows.ts";

/** Of each domain; what is said of the host is said once. */
export const dns: Look = async ({ config }) => {
  const found = await Promise.all(perDomain(config).map(dnsOfSite));
  const said = new Set<string>();
  return found.flat().filter((one) => {
    const text = JSON.stringify(one);
    return !said.has(text) && said.add(text);
  });
};

async function dnsOfSite({ hostname, domain, delivery }: Config): Promise<readonly Judgement[]> {
  const resolver = dnsOf(delivery);
  // Not getaddrinfo(3): /etc/hosts often has this host's own name, with an address that nobody else knows.
  const lookup = async (host: string): Promise<readonly string[]> => {
    const found = await Promise.all([records(resolver.resolve4(host)), records(resolver.resolve6(host))]);
    if (found.every((one) => one === "trouble")) throw Object.assign(new Error(host), { code: "ETIMEOUT" });
    return found.flatMap((one) => (one === "trouble" ? [] : one));
  };
  const [facts, mx] = await Promise.all([
    gatherDns({ host: hostname, domain }, { dns: resolver, lookup }),
    records(resolver.resolveMx(domain)),
  ]);
  return [...judgeDns(facts, domain, hostname), judgeMx(mx, domain)].map(judged);
}
