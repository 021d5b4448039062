/**
 * A resolver whose answers say whether signatures prove them: it asks a validating name server on this host, and
 * the AD bit of its answers counts (RFC 4035 section 4.9.3). Anybody between us and one elsewhere could set that bit.
 */
import type { DnsResponse, RecordData, RecordType } from "./dns-message.ts";
import type { Ask } from "./dns-query.ts";
import type { Answer, Resolver } from "./resolver.ts";

/** CNAMEs that are followed: our choice, and that of most resolvers, which hand them all over at once. */
const longestChain = 16;

/** RFC 1035 section 4.1.1. */
const noSuchName = 3;
const codes: Readonly<Record<number, string>> = {
  1: "EFORMERR",
  2: "ESERVFAIL",
  4: "ENOTIMP",
  5: "EREFUSED",
};

export function validating(ask: Ask): Resolver {
  const look = async <Value>(
    name: string,
    type: RecordType,
    pick: (data: RecordData) => Value | undefined,
  ): Promise<Answer<Value>> => {
    const response = await ask(name, type);
    if (!("trouble" in response)) return answerIn(response, name.toLowerCase(), pick);
    return response.trouble === "EBADNAME"
      ? { kind: "unknown" }
      : { kind: "trouble", reason: response.trouble };
  };
  const address = (data: RecordData): string | undefined => ("address" in data ? data.address : undefined);
  return {
    mx: (domain) => look(domain, "MX", (data) => (data.type === "MX" ? data : undefined)),
    ipv4: (host) => look(host, "A", address),
    ipv6: (host) => look(host, "AAAA", address),
    txt: (name) => look(name, "TXT", (data) => (data.type === "TXT" ? data.text : undefined)),
    signed: {
      tlsa: (name) => look(name, "TLSA", (data) => (data.type === "TLSA" ? data.tlsa : undefined)),
      cname: (name) => look(name, "CNAME", (data) => (data.type === "CNAME" ? data.target : undefined)),
    },
  };
}

/** What `response` says of `asked`, CNAMEs followed to where they lead. */
function answerIn<Value>(
  { code, authentic, records }: DnsResponse,
  asked: string,
  pick: (data: RecordData) => Value | undefined,
): Answer<Value> {
  if (code !== 0 && code !== noSuchName) return { kind: "trouble", reason: codes[code] ?? `RCODE ${code}` };
  let name = asked;
  let values: readonly Value[] = [];
  const used = [];
  for (let steps = 0; ; steps++) {
    const here = records.filter((record) => record.name === name);
    used.push(...here);
    values = here.map(({ data }) => pick(data)).filter((value) => value !== undefined);
    const [target] = here.flatMap(({ data }) => (data.type === "CNAME" ? [data.target] : []));
    if (values.length > 0 || target === undefined) break;
    if (steps >= longestChain) return { kind: "trouble", reason: "a CNAME without an end" };
    name = target;
  }
  const facts = {
    authentic,
    ...(name !== asked && { alias: name }),
    ...(used.length > 0 && { ttl: Math.min(...used.map(({ ttl }) => ttl)) }),
  };
  if (values.length > 0) return { kind: "found", values, ...facts };
  return { kind: code === noSuchName ? "unknown" : "nothing", ...facts };
}
