/**
 * Blocklists that are asked by DNS (RFC 5782), each by its own terms. None is asked unless it is named: some want to know
 * who asks, all count the questions.
 */
import { isIPv6 } from "node:net";
import type { CheckResult } from "./judge.ts";
import { type DnsQueries, records } from "./spf.ts";

export interface Blocklist {
  readonly zone: string;
  /** Whether it knows IPv6. */
  readonly ipv6: boolean;
  /** What its operator asks of those who ask it, in a few words. */
  readonly terms: string;
  /** Where to ask for being taken off. */
  readonly removal: string;
}

const list = (zone: string, ipv6: boolean, terms: string, removal: string): Blocklist => ({
  zone,
  ipv6,
  terms,
  removal,
});

/** By the name to give. */
export const blocklists: Readonly<Record<string, Blocklist>> = {
  spamhaus: list(
    "zen.spamhaus.org",
    true,
    "free for few questions and no business, by a resolver of one's own",
    "check.spamhaus.org",
  ),
  spamcop: list("bl.spamcop.net", false, "free", "www.spamcop.net"),
  barracuda: list(
    "b.barracudacentral.org",
    false,
    "free, after the address of the resolver is registered",
    "www.barracudacentral.org",
  ),
  psbl: list("psbl.surriel.com", false, "free", "psbl.org"),
  mailspike: list("bl.mailspike.net", false, "free for few questions", "www.mailspike.org"),
  dronebl: list("dnsbl.dronebl.org", true, "free", "dronebl.org"),
};

export interface BlocklistFact {
  readonly name: string;
  readonly zone: string;
  readonly address: string;
  /** no-answer: the DNS does not answer, or the list's own trial entry is not there; refused: it answers us nothing. */
  readonly result: "listed" | "clear" | "refused" | "no-answer" | "no-ipv6";
  /** The list's codes. */
  readonly codes: readonly string[];
}

/** RFC 5782 section 2.1, 2.4: octets or nibbles in reverse. `address` as node:net has it. */
export function blocklistName(address: string, zone: string): string {
  return isIPv6(address)
    ? `${nibbles(address).toReversed().join(".")}.${zone}`
    : `${address.split(".").toReversed().join(".")}.${zone}`;
}

function nibbles(address: string): readonly string[] {
  const [before = "", after] = address.split("%", 1).join("").split("::");
  const groups = (text: string): readonly string[] =>
    text === ""
      ? []
      : text.split(":").flatMap((group) => {
          if (!group.includes(".")) return [group];
          const [a = 0, b = 0, c = 0, d = 0] = group.split(".").map(Number);
          return [(a * 256 + b).toString(16), (c * 256 + d).toString(16)];
        });
  const [first, last] = [groups(before), groups(after ?? "")];
  const middle =
    after === undefined ? [] : Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0");
  return [...first, ...middle, ...last].flatMap((group) => group.padStart(4, "0").split(""));
}

/** The list by its name in the table, or by its zone. */
export const blocklistOf = (name: string): Blocklist | undefined =>
  Object.hasOwn(blocklists, name)
    ? blocklists[name]
    : /^[a-z0-9_-]+(?:\.[a-z0-9_-]+)+$/i.test(name)
      ? list(name, true, "", name)
      : undefined;

/** One question for each address, and one for the list's trial entry. */
export async function askBlocklist(
  name: string,
  { zone, ipv6 }: Blocklist,
  addresses: readonly string[],
  dns: Pick<DnsQueries, "resolve4">,
): Promise<readonly BlocklistFact[]> {
  // RFC 5782 section 5: every list has this entry; one that has ceased to work, or to answer us, has not.
  const trial = await records(dns.resolve4(blocklistName("127.0.0.2", zone)));
  return Promise.all(
    addresses.map(async (address): Promise<BlocklistFact> => {
      const fact = (result: BlocklistFact["result"], codes: readonly string[] = []): BlocklistFact => ({
        name,
        zone,
        address,
        result,
        codes,
      });
      if (isIPv6(address) && !ipv6) return fact("no-ipv6");
      if (trial === "trouble" || trial.length === 0) return fact("no-answer");
      if (trial.some(isRefusal)) return fact("refused", trial);
      const found = await records(dns.resolve4(blocklistName(address, zone)));
      if (found === "trouble") return fact("no-answer");
      if (found.some(isRefusal)) return fact("refused", found);
      return fact(found.length > 0 ? "listed" : "clear", found);
    }),
  );
}

/** Spamhaus and others say so with 127.255.255.x: who asks is unknown, asks by a public resolver, or too often. */
const isRefusal = (code: string): boolean => code.startsWith("127.255.255.") || !code.startsWith("127.");

export function judgeBlocklist({ name, address, result, codes }: BlocklistFact): CheckResult {
  switch (result) {
    case "clear":
      return ["ok", `${name} does not list ${address}`];
    case "no-ipv6":
      return ["ok", `${name} knows no IPv6, so nothing of ${address}`];
    case "listed":
      return [
        "failed",
        `${name} lists ${address} (${codes.join(", ")})`,
        `Find out what was sent (tpa-submit login list), stop it, then ask at ${blocklistOf(name)?.removal ?? name}.`,
      ];
    case "refused":
      return [
        "unknown",
        `${name} does not answer this resolver (${codes.join(", ")})`,
        "Ask by a resolver of your own, as the list's terms have it.",
      ];
    case "no-answer":
      return ["unknown", `${name} does not answer, or has ceased to work`];
  }
}
