/** What the names of a submission service are worth. Pure. */
import type { DnsFacts } from "./facts.ts";

export type State = "ok" | "warning" | "failed" | "unknown";

/** `advice`, one sentence, where something is to be done. */
export type Verdict = readonly [state: State, words: string, advice?: string];

/** Addresses, SRV, PTR, SPF and DMARC. */
export function judgeDns(
  { addresses, srv, reverse, spf, dmarc }: DnsFacts,
  domain: string,
  host: string,
): readonly Verdict[] {
  if (addresses === "trouble")
    return [
      [
        "unknown",
        `the DNS does not answer for ${host}`,
        "Check the resolver of this host, and the name servers of the domain.",
      ],
    ];
  if (addresses.length === 0) return [["failed", `${host} has no address`, "Add A and AAAA records for it."]];
  return [
    ["ok", `${host} has ${addresses.join(", ")}`],
    ...srv.map((fact): Verdict => judgeSrv(fact, domain)),
    ...reverse.map(({ address, names, leadsBack }): Verdict => {
      if (names === "trouble") return ["unknown", `the DNS does not tell the name of ${address}`];
      if (names.length === 0)
        return [
          "warning",
          `${address} has no name`,
          "Ask whoever provides the address for a PTR record; many receivers refuse mail from hosts without one.",
        ];
      return leadsBack
        ? ["ok", `${address} is ${names.join(", ")}, and back`]
        : [
            "warning",
            `${address} is called ${names.join(", ")}, which does not lead back to it`,
            "Let the name of the PTR record have this address.",
          ];
    }),
    ...spf.map(({ address, result }): Verdict => judgeSpf(address, result, domain)),
    judgeDmarc(dmarc, domain),
  ];
}

function judgeSrv({ label, targets }: DnsFacts["srv"][number], domain: string): Verdict {
  const name = `${label}.${domain}`;
  if (targets === "trouble") return ["unknown", `the DNS does not answer for ${name}`];
  const isWrong = !["_submission._tcp", "_submissions._tcp"].includes(label);
  if (targets.length === 0) {
    return [
      "warning",
      `there is no SRV record ${name}`,
      "Add it (RFC 6186, RFC 8314), so that mail programs find the service by the address alone.",
    ];
  }
  const shown = targets.map(({ host, port }) => `${host}:${port}`).join(", ");
  if (isWrong)
    return [
      "warning",
      `there is an SRV record ${name} (${shown})`,
      "No mail program asks for it: the labels are _submission._tcp and _submissions._tcp.",
    ];
  const alias = targets.find(({ isAlias }) => isAlias);
  if (alias)
    return [
      "failed",
      `${name} leads to ${alias.host}, which is an alias`,
      "Let the record name a host with addresses of its own (RFC 2782).",
    ];
  return ["ok", `${name} leads to ${shown}`];
}

function judgeSpf(address: string, result: string, domain: string): Verdict {
  const found = `SPF of ${domain} for ${address}: ${result}`;
  switch (result) {
    case "pass":
      return ["ok", found];
    case "none":
      return [
        "warning",
        `${domain} has no SPF record`,
        `Add one that lets this service send: TXT "v=spf1 ip4:… -all".`,
      ];
    case "permerror":
      return [
        "failed",
        found,
        "The record is broken: one record only, known mechanisms, ten DNS questions at most (RFC 7208).",
      ];
    case "temperror":
    case "unknown":
      return ["unknown", found];
    default:
      return [
        "warning",
        found,
        `Add the address to the record where mail leaves from it; where it leaves by another host, this is as it should be.`,
      ];
  }
}

function judgeDmarc(dmarc: string | null, domain: string): Verdict {
  if (dmarc === null) return ["unknown", `the DNS does not answer for _dmarc.${domain}`];
  if (dmarc === "")
    return [
      "warning",
      `${domain} has no DMARC record`,
      `Add TXT _dmarc.${domain} "v=DMARC1; p=none; rua=mailto:…" and read the reports.`,
    ];
  return ["ok", `DMARC: ${dmarc.slice(0, 100)}`];
}
