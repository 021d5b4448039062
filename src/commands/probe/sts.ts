/** The MTA-STS policy that a domain publishes, fetched as other mail servers fetch it. */
import { Resolver as SystemResolver } from "node:dns/promises";
import type { SenderDependencies } from "../../probe/checkup/sender.ts";
import type { PolicyFetchSettings } from "../../server/delivery/tls/mta-sts.ts";

const day = 86_400;

/** As other mail servers do: no policy can be at a private address, and only one port will do. */
const asOthers = { privateAddresses: false, port: 443 };

/** `server` is asked for the record and the web server's address; without it the system's name servers. */
export const stsBy =
  (server?: string, web: Omit<PolicyFetchSettings, "resolver"> = asOthers): SenderDependencies["sts"] =>
  async (domain, exchangers) => {
    const { systemResolver } = await import("../../server/delivery/dns/resolver.ts");
    const { policyFetcher } = await import("../../server/delivery/tls/mta-sts.ts");
    const { isListed, policyId, readPolicy } = await import("../../server/delivery/tls/mta-sts-policy.ts");
    const system = new SystemResolver({ timeout: 5000, tries: 2 });
    if (server !== undefined) system.setServers([server]);
    const resolver = systemResolver(system);
    const answer = await resolver.txt(`_mta-sts.${domain}`);
    const texts = answer.kind === "found" ? answer.values : [];
    if (!texts.some((text) => text.startsWith("v=STSv1"))) return { kind: "none" };
    if (policyId(texts) === undefined)
      return { kind: "wrong", words: "its TXT record is none, or there are two" };
    const fetched = await policyFetcher({ ...web, resolver })(domain);
    if ("trouble" in fetched)
      return { kind: "wrong", words: `its policy cannot be fetched: ${fetched.trouble}` };
    const policy = readPolicy(fetched.text);
    if ("wrong" in policy) return { kind: "wrong", words: `its policy is none: ${policy.wrong}` };
    return {
      kind: "policy",
      mode: policy.mode,
      days: Math.floor(policy.maxAge / day),
      unlisted: policy.mode === "none" ? [] : exchangers.filter((host) => !isListed(host, policy)),
    };
  };
