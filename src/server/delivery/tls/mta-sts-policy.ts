/**
 * MTA-STS as a domain publishes it (RFC 8461 section 3): the TXT record, the policy's text, and the hosts it lists.
 * Pure; mta-sts.ts fetches and caches policies.
 */
import type { NextHop } from "../next-hop.ts";

export interface StsPolicy {
  readonly mode: "enforce" | "testing" | "none";
  /** Host names in lower case, "*." in front for any one label. */
  readonly mx: readonly string[];
  /** How long it holds after it was fetched, in seconds. */
  readonly maxAge: number;
}

const record = /^v=STSv1[ \t]*;/;
const recordField = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31})=([\x21-\x3a\x3c\x3e-\x7e]+)$/;

/** The policy's id in a domain's TXT records; undefined if they announce none or several (section 3.1). */
export function policyId(texts: readonly string[]): string | undefined {
  const [text, ...others] = texts.filter((one) => record.test(one));
  if (text === undefined || others.length > 0) return undefined;
  const parts = text.split(";").map(withoutBlanks);
  if (parts.at(-1) === "") parts.pop();
  const fields = parts.map((field) => recordField.exec(field));
  if (fields.some((field) => field === null)) return undefined;
  const id = fields.find((field) => field?.[1] === "id")?.[2];
  return id !== undefined && /^[A-Za-z0-9]{1,32}$/.test(id) ? id : undefined;
}

/**
 * Removes blanks and tabs on both sides. The text comes from outside, so this looks at each octet once: a regular
 * expression for blanks before the end would try each run of them from each of its positions.
 */
function withoutBlanks(text: string): string {
  const isBlank = (at: number): boolean => text[at] === " " || text[at] === "\t";
  let start = 0;
  let end = text.length;
  while (start < end && isBlank(start)) start++;
  while (end > start && isBlank(end - 1)) end--;
  return text.slice(start, end);
}

/** Section 3.2: a year and six hours, the most that a policy may ask for. Seconds. */
const longestAge = 31_557_600;
/** Our choice: no honest domain has more. */
const mostHosts = 500;

const policyField = /^([A-Za-z0-9][A-Za-z0-9_.-]{0,31}):([^\x00-\x08\x0a-\x1f\x7f]*)$/;
const hostPattern =
  /^(?:\*\.)?(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)+[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/i;

/**
 * Reads a policy's text strictly (section 3.2). If a field other than mx occurs twice, the first counts; unknown fields
 * are ignored. `wrong` says why it is not a policy.
 */
export function readPolicy(text: string): StsPolicy | { readonly wrong: string } {
  const lines = text.split(/\r?\n/);
  while (lines.at(-1) === "") lines.pop();
  const fields: (readonly [string, string])[] = [];
  for (const [at, line] of lines.entries()) {
    const [, name, written = ""] = policyField.exec(line) ?? [];
    const value = withoutBlanks(written);
    if (name === undefined || value === "" || value.includes("\t"))
      return { wrong: `line ${at + 1} is no field` };
    fields.push([name, value]);
  }
  const first = (wanted: string): string | undefined => fields.find(([name]) => name === wanted)?.[1];
  if (first("version") !== "STSv1") return { wrong: "its version is not STSv1" };
  const mode = (["enforce", "testing", "none"] as const).find((word) => word === first("mode"));
  if (mode === undefined) return { wrong: "its mode is not enforce, testing or none" };
  const age = first("max_age") ?? "";
  if (!/^\d{1,10}$/.test(age)) return { wrong: "its max_age is no number of seconds" };
  const mx = fields.filter(([name]) => name === "mx").map(([, value]) => value.toLowerCase());
  if (mx.length > mostHosts || !mx.every((one) => hostPattern.test(one)))
    return { wrong: "an mx is no host name" };
  if (mx.length === 0 && mode !== "none") return { wrong: "it lists no mx" };
  return { mode, mx, maxAge: Math.min(Number(age), longestAge) };
}

/** Section 4.1: the host's name, or "*." for its first label only. */
export function isListed(host: string, { mx }: StsPolicy): boolean {
  const name = host.toLowerCase();
  return mx.includes(name) || mx.includes(name.replace(/^[^.]+/, "*"));
}

/**
 * `hops` under the policy: those that may be used, each with its demands, and those that it does not list. DANE takes
 * precedence (section 2): a host with TLSA records needs to meet these only.
 */
export function applyStsPolicy(
  hops: readonly NextHop[],
  policy: StsPolicy,
): { readonly left: readonly NextHop[]; readonly unlisted: readonly NextHop[] } {
  if (policy.mode === "none") return { left: hops, unlisted: [] };
  const hasDane = ({ tls }: NextHop): boolean => tls?.kind === "dane";
  const isFine = (hop: NextHop): boolean => hasDane(hop) || isListed(hop.host, policy);
  const unlisted = hops.filter((hop) => !isFine(hop));
  if (policy.mode === "testing") {
    return { left: hops.map((hop) => (hasDane(hop) ? hop : { ...hop, stsTesting: true })), unlisted };
  }
  const left = hops
    .filter(isFine)
    .map((hop): NextHop => (hasDane(hop) ? hop : { ...hop, tls: { kind: "verified", names: [hop.host] } }));
  return { left, unlisted };
}
