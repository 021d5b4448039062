/**
 * The MTA-STS policies of recipients' domains (RFC 8461): found by TXT record, fetched by HTTPS, cached in memory and
 * on disk, renewed when the record changes and long before they expire. A policy holds until it expires, even if
 * somebody keeps us from fetching it again.
 */

import { mkdir, readdir, readFile, unlink } from "node:fs/promises";
import { get, type RequestOptions } from "node:https";
import { isIPv6, type LookupFunction } from "node:net";
import { join } from "node:path";
import { checkServerIdentity } from "node:tls";
import { replaceFile } from "../../../durable.ts";
import { errorCode, errorText } from "../../../failure.ts";
import { log, logBug } from "../../log/log.ts";
import { isPublic } from "../dns/public-addresses.ts";
import type { Resolver } from "../dns/resolver.ts";
import { oneLine } from "../next-hop.ts";
import { policyId, readPolicy, type StsPolicy } from "./mta-sts-policy.ts";
import { isAboutCertificate, type ObserveTls, unknownSts } from "./observation.ts";

export interface StsPolicies {
  /** The policy that holds for `domain`, in A-labels; undefined if it has none. Never rejects. */
  of(domain: string): Promise<StsPolicy | undefined>;
}

const day = 86_400_000;
/** RFC 8461 section 3.3 suggests once a day. */
const renewAfter = day;
/** Our choice: after so long without mail to it, a domain's policy is not renewed daily any more. */
const forgetAfter = 30 * day;
/** Our choice: how long we wait after a web server failed. */
const pause = 5 * 60_000;

/**
 * Starts with the policies in `cache`. `now` is in milliseconds since the epoch. `observe` hears of policies that cannot be
 * had or read.
 */
export async function openStsPolicies(
  resolver: Pick<Resolver, "txt">,
  fetchPolicy: PolicyFetcher,
  cache: StsCache,
  now: () => number,
  observe: ObserveTls = () => undefined,
): Promise<StsPolicies> {
  const policies = new Map<string, CachedPolicy>();
  /** Until when a domain whose policy could not be fetched is not asked again. */
  const failed = new Map<string, number>();
  const fetching = new Map<string, Promise<void>>();
  let lastRenewal = 0;

  const holds = ({ fetched, policy }: CachedPolicy): boolean => now() < fetched + policy.maxAge * 1000;

  /** What is known of `domain`: another host may have fetched it later than this one. */
  function knownOf(domain: string): CachedPolicy | undefined {
    const own = policies.get(domain);
    const latest = cache.latest?.(domain);
    if (latest === undefined || (own !== undefined && own.fetched >= latest.fetched)) return own;
    const taken = { ...latest, used: Math.max(latest.used, own?.used ?? 0) };
    policies.set(domain, taken);
    return taken;
  }

  /** A disk failure costs a fetch after the next start, and no mail. */
  async function onDisk(domain: string, work: Promise<unknown>): Promise<void> {
    try {
      await work;
    } catch (error) {
      log("sts-unsaved", { domain, reason: errorText(error) });
    }
  }

  async function fetchNow(domain: string, id: string): Promise<void> {
    const answer = await fetchPolicy(domain);
    const read = "trouble" in answer ? { wrong: answer.trouble } : readPolicy(answer.text);
    if ("wrong" in read) {
      failed.set(domain, now() + pause);
      log("sts-trouble", { domain, reason: read.wrong, held: policies.has(domain) });
      const type = "text" in answer ? "sts-policy-invalid" : (answer.type ?? "sts-policy-fetch-error");
      observe({ domain, demanded: unknownSts, host: "", address: "", failure: { type, code: "" } });
      return;
    }
    failed.delete(domain);
    const fetched = { domain, id, fetched: now(), used: policies.get(domain)?.used ?? now(), policy: read };
    const { mode, mx, maxAge } = read;
    log("sts-policy", { domain, id, mode, hosts: mx.length, seconds: maxAge });
    policies.set(domain, fetched);
    await onDisk(domain, cache.keep(fetched, "text" in answer ? answer.text : ""));
  }

  /** One fetch at a time for each domain; a second caller waits for the first. */
  function renew(domain: string, id: string): Promise<void> {
    const running = fetching.get(domain);
    if (running) return running;
    if ((failed.get(domain) ?? 0) > now()) return Promise.resolve();
    const run = fetchNow(domain, id).finally(() => fetching.delete(domain));
    fetching.set(domain, run);
    return run;
  }

  async function idOf(domain: string): Promise<string | undefined> {
    const answer = await resolver.txt(`_mta-sts.${domain}`);
    return answer.kind === "found" ? policyId(answer.values) : undefined;
  }

  /** Once a day: drops expired policies and renews the others, one after the other. */
  async function renewAll(): Promise<void> {
    for (const [domain, until] of failed) if (until <= now()) failed.delete(domain);
    for (const domain of [...policies.keys()]) {
      const one = knownOf(domain);
      if (one === undefined) continue;
      if (!holds(one)) {
        policies.delete(one.domain);
        await onDisk(one.domain, cache.drop(one.domain, one.fetched));
      } else if (now() - one.used < forgetAfter && now() - one.fetched >= renewAfter) {
        await renew(one.domain, (await idOf(one.domain)) ?? one.id);
      }
    }
  }

  try {
    for (const one of await cache.all()) {
      if ("trouble" in one) log("sts-unsaved", { domain: one.domain, reason: one.trouble });
      else policies.set(one.domain, one);
    }
  } catch (error) {
    log("sts-unsaved", { domain: "*", reason: errorText(error) });
  }

  return {
    async of(domain) {
      if (now() - lastRenewal >= renewAfter) {
        lastRenewal = now();
        renewAll().catch((error: unknown) => logBug("renewing MTA-STS policies", error));
      }
      const id = await idOf(domain);
      const known = knownOf(domain);
      // A policy holds without its TXT record (section 3.1); a changed record announces a new one.
      if (id !== undefined && (known === undefined || known.id !== id || !holds(known)))
        await renew(domain, id);
      const held = policies.get(domain);
      if (held === undefined || !holds(held)) return undefined;
      policies.set(domain, { ...held, used: now() });
      return held.policy;
    },
  };
}

/** The text of the policy of a domain (in A-labels), or why there is none. Never rejects. */
export type PolicyFetcher = (domain: string) => Promise<FetchedPolicy>;

type FetchedPolicy =
  | { readonly text: string }
  | {
      readonly trouble: string;
      /** For reports (RFC 8460 section 4.3.2.2); a failure to fetch it where it is absent. */
      readonly type?: "sts-webpki-invalid";
    };

export interface PolicyFetchSettings {
  readonly resolver: Resolver;
  /** Whether the web server may be on loopback or a private address. */
  readonly privateAddresses: boolean;
  /** 443, except in tests. */
  readonly port: number;
  /** Certificates in PEM to trust instead of the known CAs. */
  readonly ca?: string;
}

/** RFC 8461 section 3.3 suggests a minute and 64 kilobytes. */
const fetchTimeout = 60_000;
const largestPolicy = 64 * 1024;

/**
 * Fetches a domain's policy (RFC 8461 section 3.3): by HTTPS from one host name, with a valid certificate, without
 * following redirections. The recipient's domain chooses the address, so it must be a public one.
 */
export function policyFetcher({ resolver, privateAddresses, port, ca }: PolicyFetchSettings): PolicyFetcher {
  return async (domain) => {
    const host = `mta-sts.${domain}`;
    const answers = await Promise.all([resolver.ipv6(host), resolver.ipv4(host)]);
    const found = answers.flatMap((answer) => (answer.kind === "found" ? answer.values : []));
    const addresses = found.filter((address) => privateAddresses || isPublic(address));
    if (addresses.length === 0) {
      return {
        trouble: `${host} has no address${found.length > 0 ? " that is reachable from outside" : ""}`,
      };
    }
    return fetchText({
      host,
      port,
      path: "/.well-known/mta-sts.txt",
      agent: false,
      headers: { accept: "text/plain" },
      lookup: lookupIn(addresses),
      signal: AbortSignal.timeout(fetchTimeout),
      ...(ca !== undefined && { ca }),
      // a DNS-ID is a must, the subject's common name will not do
      checkServerIdentity: (name, certificate) =>
        certificate.subjectaltname === undefined
          ? new Error("the certificate has no subject alternative name")
          : checkServerIdentity(name, certificate),
    });
  };
}

/** node:net asks for one address or for all of them. */
function lookupIn(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_, { all: wantsAll }, done) => {
    const [first] = all;
    if (wantsAll) done(null, all);
    else if (first) done(null, first.address, first.family);
  };
}

function fetchText(options: RequestOptions): Promise<FetchedPolicy> {
  return new Promise((resolve) => {
    const fail = (trouble: string): void => resolve({ trouble: oneLine(trouble) });
    const request = get(options, (response) => {
      const chunks: Buffer[] = [];
      let size = 0;
      const refuse = (trouble: string): void => {
        fail(trouble);
        response.destroy();
      };
      response.on("error", (error) => fail(errorText(error)));
      if (response.statusCode !== 200)
        return refuse(`the web server answers ${response.statusCode ?? "nothing"}`);
      const type = response.headers["content-type"] ?? "";
      if (!/^text\/plain(?:[ \t]*;|$)/i.test(type)) return refuse("it is not text/plain");
      response.on("data", (chunk: Buffer) => {
        size += chunk.length;
        chunks.push(chunk);
        if (size > largestPolicy) refuse(`it is larger than ${largestPolicy} octets`);
      });
      response.on("end", () => resolve({ text: Buffer.concat(chunks).toString("utf8") }));
    });
    request.on("error", (error) => {
      const trouble = oneLine(errorText(error));
      resolve({ trouble, ...(isAboutCertificate(errorCode(error)) && { type: "sts-webpki-invalid" }) });
    });
  });
}

export interface CachedPolicy {
  /** In A-labels. */
  readonly domain: string;
  /** From the TXT record. */
  readonly id: string;
  /** Times in milliseconds since the epoch: the last fetch, and the last mail under it. */
  readonly fetched: number;
  readonly used: number;
  readonly policy: StsPolicy;
}

/** A file that cannot be read. */
export interface UnreadablePolicy {
  readonly domain: string;
  readonly trouble: string;
}

/** Policies that are kept. Each function rejects with the system's error. */
export interface StsCache {
  all(): Promise<readonly (CachedPolicy | UnreadablePolicy)[]>;
  keep(kept: CachedPolicy, text: string): Promise<void>;
  /** Unless it was fetched again after `fetched`. */
  drop(domain: string, fetched: number): Promise<void>;
  /** Where several hosts have the same cache: what one of them fetched last for `domain`, as far as it is known here. */
  latest?(domain: string): CachedPolicy | undefined;
}

/**
 * The cache in the folder `directory`, which is created with the first policy: one small file for each domain. RFC 8461
 * protects only those who remember policies, so a restart must not lose them.
 */
export function stsCache(directory: string): StsCache {
  async function read(domain: string): Promise<CachedPolicy | UnreadablePolicy> {
    try {
      const kept = cachedPolicyIn(await readFile(join(directory, domain), "utf8"));
      return kept?.domain === domain ? kept : { domain, trouble: "it is damaged" };
    } catch (error) {
      return { domain, trouble: errorText(error) };
    }
  }

  return {
    async all() {
      const names = await readdir(directory).catch(unlessMissing([]));
      return Promise.all(names.filter(isDomain).map(read));
    },
    async keep({ domain, id, fetched, used }, text) {
      await mkdir(directory, { mode: 0o700, recursive: true });
      const fields = { domain, id, fetched, used, text };
      await replaceFile(join(directory, domain), `${JSON.stringify(fields)}\n`, { mode: 0o600 });
    },
    async drop(domain) {
      await unlink(join(directory, domain)).catch(unlessMissing(undefined));
    },
  };
}

/** Drafts begin with a dot (durable.ts). */
const isDomain = (name: string): boolean => !name.startsWith(".");

/** What is kept of a policy, if it is one. */
export function cachedPolicy({
  domain,
  id,
  fetched,
  used,
  text,
}: Readonly<Record<string, unknown>>): CachedPolicy | undefined {
  if (typeof domain !== "string" || typeof id !== "string" || typeof text !== "string") return undefined;
  if (typeof fetched !== "number" || typeof used !== "number") return undefined;
  const read = readPolicy(text);
  return "wrong" in read ? undefined : { domain, id, fetched, used, policy: read };
}

function cachedPolicyIn(text: string): CachedPolicy | undefined {
  try {
    return cachedPolicy(JSON.parse(text) as Record<string, unknown>);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

const unlessMissing =
  <Value>(value: Value) =>
  (error: unknown): Value => {
    if (errorCode(error) === "ENOENT") return value;
    throw error;
  };
