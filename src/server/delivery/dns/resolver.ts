/**
 * The DNS as routing needs it, with a small cache: through the system's name servers, or through a validating resolver
 * on this host.
 */
import { errorCode } from "../../../failure.ts";
import type { DnsResponse, RecordData, RecordType, TlsaRecord } from "./message.ts";
import type { DnsQuery } from "./query.ts";

export interface MailExchanger {
  /** Host name; "" is the null MX (RFC 7505). */
  readonly exchange: string;
  /** Lower comes first. */
  readonly priority: number;
}

/** The result of a query: `nothing` is a name without such records, `unknown` a name that does not exist. */
export type DnsAnswer<Value> = (
  | { readonly kind: "found"; readonly values: readonly Value[] }
  | { readonly kind: "nothing" | "unknown" }
  | { readonly kind: "trouble"; readonly reason: string }
) & {
  /** Whether DNSSEC signatures prove it: true only if a validating resolver on this host says so. */
  readonly authentic?: boolean;
  /** The name that the records belong to, if a CNAME led to it. */
  readonly alias?: string;
  /** Seconds for which it may be cached, if known. */
  readonly ttl?: number;
};

/** Never rejects for a failure of the DNS. Names are in A-labels. */
export interface Resolver {
  mx(domain: string): Promise<DnsAnswer<MailExchanger>>;
  ipv4(host: string): Promise<DnsAnswer<string>>;
  ipv6(host: string): Promise<DnsAnswer<string>>;
  /** Each record as one text, its parts joined. */
  txt(name: string): Promise<DnsAnswer<string>>;
  /** Absent if nobody checks signatures, so that DANE makes no sense. */
  readonly signed?: {
    tlsa(name: string): Promise<DnsAnswer<TlsaRecord>>;
    /** The target of the CNAME of `name` itself, not followed any further. */
    cname(name: string): Promise<DnsAnswer<string>>;
  };
}

/** The part we use of node:dns/promises' Resolver; rejects with its error codes. */
export interface SystemResolver {
  resolveMx(domain: string): Promise<readonly MailExchanger[]>;
  resolve4(host: string): Promise<readonly string[]>;
  resolve6(host: string): Promise<readonly string[]>;
  resolveTxt(name: string): Promise<readonly (readonly string[])[]>;
}

/** The name servers that node:dns asks. No answer of theirs is authentic. */
export function systemResolver(system: SystemResolver): Resolver {
  return {
    mx: (domain) => answerTo(system.resolveMx(domain)),
    ipv4: (host) => answerTo(system.resolve4(host)),
    ipv6: (host) => answerTo(system.resolve6(host)),
    txt: (name) => answerTo(system.resolveTxt(name).then((texts) => texts.map((parts) => parts.join("")))),
  };
}

/** The result of a `question` to node:dns; only "trouble" is worth asking again. */
export async function answerTo<Value>(question: Promise<readonly Value[]>): Promise<DnsAnswer<Value>> {
  try {
    const values = await question;
    // For a CNAME to a name without such records, node:dns returns an empty list.
    return values.length === 0 ? { kind: "nothing" } : { kind: "found", values };
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENODATA") return { kind: "nothing" };
    if (code === "ENOTFOUND" || code === "EBADNAME") return { kind: "unknown" };
    if (code === "") throw error;
    return { kind: "trouble", reason: code };
  }
}

/** CNAMEs that are followed: our choice, and that of most resolvers, which send them all at once. */
const longestChain = 16;

/** RFC 1035 section 4.1.1. */
const noSuchName = 3;
const errorCodes: Readonly<Record<number, string>> = {
  1: "EFORMERR",
  2: "ESERVFAIL",
  4: "ENOTIMP",
  5: "EREFUSED",
};

/**
 * A resolver whose answers say whether signatures prove them: `ask` queries a validating name server on this host,
 * whose AD bit counts (RFC 4035 section 4.9.3). If it were elsewhere, anybody in between could set that bit.
 */
export function validatingResolver(ask: DnsQuery): Resolver {
  const look = async <Value>(
    name: string,
    type: RecordType,
    pick: (data: RecordData) => Value | undefined,
  ): Promise<DnsAnswer<Value>> => {
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

/** The answer for the name `asked` in `response`, CNAMEs followed. */
function answerIn<Value>(
  { code, authentic, records }: DnsResponse,
  asked: string,
  pick: (data: RecordData) => Value | undefined,
): DnsAnswer<Value> {
  if (code !== 0 && code !== noSuchName)
    return { kind: "trouble", reason: errorCodes[code] ?? `RCODE ${code}` };
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

/**
 * How long an answer is cached at most, in milliseconds. node:dns gives no TTL for MX, so one time must do for all:
 * long enough for a burst of mail, short enough for a change.
 */
const foundFor = 5 * 60_000;
const missingFor = 60_000;
const largest = 5000;

/** `resolver` with a cache; trouble is never cached. `now` is in milliseconds of a clock that nobody sets. */
export function cachingResolver(resolver: Resolver, now: () => number): Resolver {
  const { signed } = resolver;
  return {
    mx: cached((domain) => resolver.mx(domain), now),
    ipv4: cached((host) => resolver.ipv4(host), now),
    ipv6: cached((host) => resolver.ipv6(host), now),
    txt: cached((name) => resolver.txt(name), now),
    ...(signed && {
      signed: {
        tlsa: cached((name) => signed.tlsa(name), now),
        cname: cached((name) => signed.cname(name), now),
      },
    }),
  };
}

function cached<Value>(
  ask: (name: string) => Promise<DnsAnswer<Value>>,
  now: () => number,
): (name: string) => Promise<DnsAnswer<Value>> {
  const answers = new Map<string, { readonly answer: Promise<DnsAnswer<Value>>; until: number }>();
  return async (name) => {
    const known = answers.get(name);
    if (known && known.until > now()) return known.answer;
    const entry = { answer: ask(name), until: now() + foundFor };
    answers.delete(name); // so that it becomes the youngest
    answers.set(name, entry);
    for (const oldest of answers.keys()) {
      if (answers.size <= largest) break;
      answers.delete(oldest);
    }
    try {
      const answer = await entry.answer;
      entry.until = now() + cacheTime(answer);
      return answer;
    } catch (error) {
      answers.delete(name);
      throw error;
    }
  };
}

/** Milliseconds. */
function cacheTime({ kind, ttl = Number.POSITIVE_INFINITY }: DnsAnswer<unknown>): number {
  if (kind === "trouble") return 0;
  return Math.min(ttl * 1000, kind === "found" ? foundFor : missingFor);
}
