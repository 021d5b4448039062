/**
 * The questions that routing asks the DNS, and a small memory for the answers. Who is asked is the caller's: the
 * system's name servers, or a resolver on this host whose word on signatures counts (validating.ts).
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

/**
 * What came of a question: `nothing` is a name without such records, `unknown` a name that does not exist.
 */
export type DnsAnswer<Value> = (
  | { readonly kind: "found"; readonly values: readonly Value[] }
  | { readonly kind: "nothing" | "unknown" }
  | { readonly kind: "trouble"; readonly reason: string }
) & {
  /** That signatures prove it: true only where a validating resolver on this host says so. */
  readonly authentic?: boolean;
  /** The name that the records belong to, where a CNAME led to another than was asked for. */
  readonly alias?: string;
  /** Seconds for which it may be remembered, where that was told. */
  readonly ttl?: number;
};

/** Never rejects for what the DNS does. Names are in A-labels. */
export interface Resolver {
  mx(domain: string): Promise<DnsAnswer<MailExchanger>>;
  ipv4(host: string): Promise<DnsAnswer<string>>;
  ipv6(host: string): Promise<DnsAnswer<string>>;
  /** Each record as one text, its parts joined. */
  txt(name: string): Promise<DnsAnswer<string>>;
  /** Absent where nobody checks signatures, so that DANE makes no sense. */
  readonly signed?: {
    tlsa(name: string): Promise<DnsAnswer<TlsaRecord>>;
    /** The name that the CNAME of `name` itself leads to, not followed any further. */
    cname(name: string): Promise<DnsAnswer<string>>;
  };
}

/** What we use of a Resolver of node:dns/promises; rejects with its error codes. */
export interface SystemResolver {
  resolveMx(domain: string): Promise<readonly MailExchanger[]>;
  resolve4(host: string): Promise<readonly string[]>;
  resolve6(host: string): Promise<readonly string[]>;
  resolveTxt(name: string): Promise<readonly (readonly string[])[]>;
}

/** The name servers that node:dns asks. Nothing that they say is authentic. */
export function systemResolver(system: SystemResolver): Resolver {
  return {
    mx: (domain) => answerTo(system.resolveMx(domain)),
    ipv4: (host) => answerTo(system.resolve4(host)),
    ipv6: (host) => answerTo(system.resolve6(host)),
    txt: (name) => answerTo(system.resolveTxt(name).then((texts) => texts.map((parts) => parts.join("")))),
  };
}

/** Waits for a `question` to node:dns and sorts what came of it; only "trouble" is worth asking again. */
export async function answerTo<Value>(question: Promise<readonly Value[]>): Promise<DnsAnswer<Value>> {
  try {
    const values = await question;
    // A CNAME to a name without such records comes as an empty list.
    return values.length === 0 ? { kind: "nothing" } : { kind: "found", values };
  } catch (error) {
    const code = errorCode(error);
    if (code === "ENODATA") return { kind: "nothing" };
    if (code === "ENOTFOUND" || code === "EBADNAME") return { kind: "unknown" };
    if (code === "") throw error;
    return { kind: "trouble", reason: code };
  }
}

/**
 * The longest that an answer is remembered. node:dns tells no time to live for MX, so there one time serves all: long
 * enough for a burst, short for a change. Milliseconds.
 */
const foundFor = 5 * 60_000;
const missingFor = 60_000;
const largest = 5000;

/** `resolver` with a memory; trouble is never remembered. `now` in milliseconds of a clock that nobody sets. */
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
    answers.delete(name); // so that it is the youngest when the oldest is dropped
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

// A resolver whose answers say whether signatures prove them: it asks a validating name server on this host, and
// the AD bit of its answers counts (RFC 4035 section 4.9.3). Anybody between us and one elsewhere could set that bit.

/** CNAMEs that are followed: our choice, and that of most resolvers, which hand them all over at once. */
const longestChain = 16;

/** RFC 1035 section 4.1.1. */
const noSuchName = 3;
const errorCodes: Readonly<Record<number, string>> = {
  1: "EFORMERR",
  2: "ESERVFAIL",
  4: "ENOTIMP",
  5: "EREFUSED",
};

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

/** What `response` says of `asked`, CNAMEs followed to where they lead. */
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
