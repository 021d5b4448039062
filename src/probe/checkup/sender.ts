/**
 * What receivers look at before they take mail from a service, beyond its addresses: its name in HELO, how much work its
 * SPF record makes, DMARC's policy, MTA-STS and DANE of its own, and IPv6 by itself. Gathered, then judged.
 */
import { isIPv4, isIPv6 } from "node:net";
import { runSmtpCheck } from "../transaction/smtp-check.ts";
import type { DaneResult } from "../transcript/journal.ts";
import type { CheckedService, CheckupDependencies, ServiceFacts } from "./gather.ts";
import type { CheckResult } from "./judge.ts";
import { countSpfQuestions, type DnsQueries, records, type SpfCount } from "./spf.ts";

/** MTA-STS as the domain publishes it for others (RFC 8461). */
export type StsFact =
  | { readonly kind: "none" }
  | { readonly kind: "wrong"; readonly words: string }
  | {
      readonly kind: "policy";
      readonly mode: string;
      readonly days: number;
      readonly unlisted: readonly string[];
    };

export interface SenderFacts {
  readonly spf: SpfCount;
  /** The record that holds, and whose it is; null where the DNS does not answer. */
  readonly dmarc: { readonly text: string; readonly at: string } | null;
  readonly sts: StsFact;
  readonly dane: readonly { readonly port: number; readonly result: DaneResult }[];
  /** Of each IPv6 address, what greets at the first port; "" where nobody does, with the reason. */
  readonly ipv6: readonly { readonly address: string; readonly greeting: string; readonly trouble: string }[];
}

/** What it needs beyond what the checkup has. */
export interface SenderDependencies {
  readonly organisation: (name: string) => string | undefined;
  /** What TLSA records say of the chain that a server has shown. */
  readonly dane: NonNullable<CheckupDependencies["probe"]["dane"]>;
  /** `exchangers` must all be in the policy. */
  readonly sts: (domain: string, exchangers: readonly string[]) => Promise<StsFact>;
}

export async function gatherSender(
  service: CheckedService,
  { dns: { addresses }, ports }: ServiceFacts,
  { dns, probe }: CheckupDependencies,
  { organisation, dane, sts }: SenderDependencies,
): Promise<SenderFacts> {
  const { domain, host } = service;
  const known = addresses === "trouble" ? [] : addresses;
  const [spf, dmarc, stsFact, daneFacts, ipv6] = await Promise.all([
    countSpfQuestions(domain, dns),
    dmarcOf(domain, organisation(domain), dns),
    exchangersOf(domain, dns).then((names) => sts(domain, names)),
    Promise.all(
      ports.map(async ({ port, tls }) => ({
        port,
        result: tls && (await dane(host, port, tls.peer)),
      })),
    ),
    Promise.all(known.filter(isSeenFromOutside).map((address) => greetingAt(address, service, probe))),
  ]);
  return {
    spf,
    dmarc,
    sts: stsFact,
    dane: daneFacts.flatMap(({ port, result }) => (result ? [{ port, result }] : [])),
    ipv6,
  };
}

const isSeenFromOutside = (address: string): boolean => isIPv6(address) && address !== "::1";

async function exchangersOf(domain: string, dns: DnsQueries): Promise<readonly string[]> {
  const found = await records(dns.resolveMx(domain));
  return found === "trouble" ? [] : found.map(({ exchange }) => exchange.toLowerCase());
}

/** RFC 9989: of the domain, or else of its organisation. */
async function dmarcOf(
  domain: string,
  organisation: string | undefined,
  dns: DnsQueries,
): Promise<SenderFacts["dmarc"]> {
  for (const at of new Set([domain, organisation ?? domain])) {
    const found = await records(dns.resolveTxt(`_dmarc.${at}`));
    if (found === "trouble") return null;
    const text = found.map((strings) => strings.join("")).find((one) => /^v=DMARC1\b/i.test(one));
    if (text !== undefined) return { text, at };
  }
  return { text: "", at: domain };
}

async function greetingAt(
  address: string,
  { ports, helo, timeout }: CheckedService,
  dependencies: CheckupDependencies["probe"],
): Promise<SenderFacts["ipv6"][number]> {
  const [first] = ports;
  const { recorded } = await runSmtpCheck(
    { host: address, port: first?.port ?? 587, implicitTls: first?.kind === "tls", helo, timeout },
    {
      protocol: { from: "", to: [], quitAfter: "CONNECT" },
      tls: { verifyCa: false, verifyHost: false },
    },
    dependencies,
  );
  const greeting = recorded.steps.find(({ at }) => at === "CONNECT")?.reply.at(-1) ?? "";
  return { address, greeting: greeting.slice(0, 100), trouble: recorded.errors.at(-1) ?? "" };
}

/** The findings, in the order of the mail's way. */
export function judgeSender(facts: SenderFacts, service: ServiceFacts): readonly CheckResult[] {
  return [
    ...judgeName(service),
    ...(facts.spf.hasRecord ? [judgeSpfCount(facts.spf, service.domain)] : []),
    ...judgeDmarcPolicy(facts.dmarc, service.domain),
    ...judgeSts(facts.sts, service.domain),
    ...facts.dane.map(judgeDane),
    ...facts.ipv6.map(judgeIpv6),
  ];
}

/** Receivers want one name everywhere: in HELO, of the address, and back. A relay of ours greets as it says HELO. */
function judgeName({ ports, dns: { reverse } }: ServiceFacts): readonly CheckResult[] {
  const name =
    ports
      .find(({ greeting }) => greeting)
      ?.greeting?.split(" ", 1)[0]
      ?.toLowerCase() ?? "";
  if (name === "") return [];
  if (!name.includes("."))
    return [
      ["warning", `calls itself ${name}, which is no full name`, "Set hostname to its name in the DNS."],
    ];
  return reverse.flatMap(({ address, names }): readonly CheckResult[] => {
    if (names === "trouble" || names.length === 0) return [];
    const generic = names.find((one) => looksGeneric(one, address));
    if (generic !== undefined)
      return [
        [
          "warning",
          `${address} is called ${generic}, as addresses of homes are`,
          "Ask the provider for a PTR record with a name of your own domain; some receivers refuse such names.",
        ],
      ];
    return names.some((one) => one.toLowerCase() === name)
      ? [["ok", `calls itself ${name}, as ${address} is called`]]
      : [
          [
            "warning",
            `calls itself ${name}, and ${address} is called ${names.join(", ")}`,
            "Give both the same name: some receivers punish the difference.",
          ],
        ];
  });
}

/** Whether a name is made of its address: all four octets of it in a row, in either direction. */
function looksGeneric(name: string, address: string): boolean {
  if (!isIPv4(address)) return false;
  const numbers = name
    .split(/\D+/)
    .filter((part) => part !== "")
    .map(Number);
  const octets = address.split(".").map(Number);
  const text = ` ${numbers.join(" ")} `;
  return text.includes(` ${octets.join(" ")} `) || text.includes(` ${octets.toReversed().join(" ")} `);
}

function judgeSpfCount(count: SpfCount, domain: string): CheckResult {
  const { questions, empty, trouble } = count;
  if (trouble)
    return ["unknown", `how many questions SPF of ${domain} takes cannot be told: the DNS does not answer`];
  const words = `SPF of ${domain} takes ${questions} DNS questions at most`;
  const advice = "Leave out what no longer sends, or name addresses (ip4, ip6) in place of hosts.";
  if (questions > 10) return ["failed", `${words}, and 10 are allowed (RFC 7208)`, advice];
  if (empty > 2) return ["failed", `${words}, ${empty} of them without an answer, and 2 are allowed`, advice];
  return questions > 8 ? ["warning", `${words}, and 10 are allowed`, advice] : ["ok", words];
}

function judgeDmarcPolicy(dmarc: SenderFacts["dmarc"], domain: string): readonly CheckResult[] {
  if (dmarc === null || dmarc.text === "") return []; // the DNS's own findings tell
  const tags = new Map(
    dmarc.text.split(";").map((part) => {
      const [name = "", ...value] = part.split("=");
      return [name.trim().toLowerCase(), value.join("=").trim()] as const;
    }),
  );
  const own = tags.get("p")?.toLowerCase() ?? "";
  const policy = dmarc.at === domain ? own : (tags.get("sp")?.toLowerCase() ?? own);
  const from = dmarc.at === domain ? "" : `, by the record of ${dmarc.at}`;
  const reports: CheckResult = tags.get("rua")
    ? ["ok", "DMARC reports are asked for"]
    : ["warning", "DMARC reports are not asked for (rua=)", "Add rua=mailto:… and read them."];
  const words = Object.hasOwn(dmarcPolicies, policy) ? dmarcPolicies[policy] : undefined;
  if (words === undefined)
    return [
      [
        "failed",
        `the DMARC policy of ${domain} is not understood${from}`,
        "Say p=none, p=quarantine or p=reject.",
      ],
    ];
  return [["ok", `the DMARC policy of ${domain} is ${policy}${from}: ${words}`], reports];
}

const dmarcPolicies: Readonly<Record<string, string>> = {
  none: "receivers refuse nothing that others send in its name",
  quarantine: "receivers put what others send in its name to the spam",
  reject: "receivers refuse what others send in its name",
};

function judgeSts(sts: StsFact, domain: string): readonly CheckResult[] {
  if (sts.kind === "none") return [["ok", `${domain} publishes no MTA-STS policy, which it need not`]];
  if (sts.kind === "wrong")
    return [["failed", `MTA-STS of ${domain}: ${sts.words}`, "Mend the policy, or remove its TXT record."]];
  const words = `MTA-STS of ${domain}: ${sts.mode} for ${sts.days} days`;
  return sts.unlisted.length === 0
    ? [["ok", words]]
    : [
        [
          sts.mode === "enforce" ? "failed" : "warning",
          `${words}, without the MX ${sts.unlisted.join(", ")}`,
          "Add it to the policy: senders who respect it do not deliver there.",
        ],
      ];
}

function judgeDane({ port, result }: SenderFacts["dane"][number]): CheckResult {
  const words = `the ${result.records === 1 ? "TLSA record" : `${result.records} TLSA records`} of port ${port}`;
  const one = result.records === 1;
  return result.matches
    ? ["ok", `${words} ${one ? "matches" : "match"} the certificate`]
    : [
        "failed",
        `${words} ${one ? "does" : "do"} not match the certificate`,
        "Publish the digest of the new key before a renewal, and keep the old one beside it.",
      ];
}

function judgeIpv6({ address, greeting, trouble }: SenderFacts["ipv6"][number]): CheckResult {
  if (greeting !== "") return ["ok", `IPv6: ${address} greets`];
  const isOurs = /ENETUNREACH|EHOSTUNREACH|EADDRNOTAVAIL|unreachable/i.test(trouble);
  return isOurs
    ? ["unknown", `IPv6: ${address} cannot be tried from here`]
    : [
        "failed",
        `IPv6: ${address} is in the DNS, and nobody greets there (${trouble || "no answer"})`,
        "Listen there, or take the AAAA record away: mail programs try it first.",
      ];
}
