/**
 * Whether a domain's SPF record (RFC 7208) lets an address send for it; and the DNS queries of a checkup, which are
 * passed in. Macros and `exists` are not evaluated, as they need a sender: where they decide, the answer is "unknown".
 */
import { BlockList, isIPv6 } from "node:net";
import { errorCode } from "../../failure.ts";

/** What the checkup asks the DNS. Each function rejects with the error codes of node:dns. */
export interface DnsQueries {
  resolve4(name: string): Promise<readonly string[]>;
  resolve6(name: string): Promise<readonly string[]>;
  /** Each record as the strings that it is made of. */
  resolveTxt(name: string): Promise<readonly (readonly string[])[]>;
  resolveMx(name: string): Promise<readonly { readonly exchange: string; readonly priority: number }[]>;
  resolveCname(name: string): Promise<readonly string[]>;
  resolveSrv(
    name: string,
  ): Promise<readonly { readonly name: string; readonly port: number; readonly priority: number }[]>;
  /** Names of an address. */
  reverse(address: string): Promise<readonly string[]>;
}

/** The records that a query returned: none where there are none; "trouble" where the DNS does not answer. */
export async function records<Value>(
  question: Promise<readonly Value[]>,
): Promise<readonly Value[] | "trouble"> {
  try {
    return await question;
  } catch (error) {
    const code = errorCode(error);
    if (code === "") throw error;
    return ["ENODATA", "ENOTFOUND", "EBADNAME"].includes(code) ? [] : "trouble";
  }
}

/** RFC 7208 section 2.6, and "unknown" for what is not evaluated here. */
export type SpfResult =
  | "none"
  | "pass"
  | "fail"
  | "softfail"
  | "neutral"
  | "permerror"
  | "temperror"
  | "unknown";

/** RFC 7208 section 4.6.4: more terms that query the DNS are an error of the record. */
const mostQuestions = 10;

interface SpfEvaluation {
  readonly names: DnsQueries;
  readonly address: string;
  /** Terms so far that ask the DNS. */
  asked: number;
}

/** Thrown within an evaluation to end it. */
class SpfEnd extends Error {
  readonly result: SpfResult;

  constructor(result: SpfResult) {
    super(result);
    this.result = result;
  }
}

const results = { "+": "pass", "-": "fail", "~": "softfail", "?": "neutral" } as const;

/** Evaluates the record of `domain` for `address`. */
export async function evaluateSpf(domain: string, address: string, names: DnsQueries): Promise<SpfResult> {
  try {
    return await check(domain, { names, address, asked: 0 });
  } catch (error) {
    if (error instanceof SpfEnd) return error.result;
    throw error;
  }
}

async function check(domain: string, evaluation: SpfEvaluation): Promise<SpfResult> {
  const record = await recordOf(domain, evaluation);
  if (record === undefined) return "none";
  const terms = record.split(/ +/).slice(1);
  for (const term of terms) {
    const [, sign = "", mechanism = "", value = ""] =
      /^([-+~?]?)([a-z0-9]+)(?:[:/=](.*))?$/i.exec(term) ?? [];
    if (mechanism === "" || /^[a-z0-9._-]+=/i.test(term)) continue; // modifiers come below
    const target = term.includes(":") ? (value.split("/", 1)[0] ?? "") : domain;
    if (value.includes("%")) throw new SpfEnd("unknown");
    if (await matches(mechanism.toLowerCase(), { term, value, target }, evaluation)) {
      return results[(sign || "+") as keyof typeof results];
    }
  }
  const redirect = terms.find((term) => /^redirect=/i.test(term))?.slice("redirect=".length);
  if (redirect === undefined) return "neutral";
  if (redirect.includes("%")) throw new SpfEnd("unknown");
  ask(evaluation);
  const result = await check(redirect, evaluation);
  return result === "none" ? "permerror" : result;
}

async function recordOf(domain: string, { names }: SpfEvaluation): Promise<string | undefined> {
  const found = await records(names.resolveTxt(domain));
  if (found === "trouble") throw new SpfEnd("temperror");
  const spf = found.map((strings) => strings.join("")).filter((text) => /^v=spf1(?: |$)/i.test(text));
  if (spf.length > 1) throw new SpfEnd("permerror");
  return spf[0];
}

interface SpfTerm {
  readonly term: string;
  readonly value: string;
  readonly target: string;
}

async function matches(
  mechanism: string,
  { term, value, target }: SpfTerm,
  evaluation: SpfEvaluation,
): Promise<boolean> {
  const { names, address } = evaluation;
  // RFC 7208 section 5.6: "/24" is for IPv4, "//64" for IPv6, "/24//64" for both.
  const [, v4 = "32", v6 = "128"] = /(?:\/(\d+))?(?:\/\/(\d+))?$/.exec(term) ?? [];
  const within = (addresses: readonly string[]): boolean =>
    addresses.some((one) => covers(one, v4, v6, address));
  switch (mechanism) {
    case "all":
      return true;
    case "ip4":
    case "ip6": {
      const [network = "", prefix = mechanism === "ip4" ? "32" : "128"] = value.split("/");
      return covers(network, prefix, prefix, address);
    }
    case "a":
      ask(evaluation);
      return within(await addressesOf(target, evaluation));
    case "mx": {
      ask(evaluation);
      const hosts = await records(names.resolveMx(target));
      if (hosts === "trouble") throw new SpfEnd("temperror");
      const found = await Promise.all(
        hosts.slice(0, 10).map(({ exchange }) => addressesOf(exchange, evaluation)),
      );
      return within(found.flat());
    }
    case "include": {
      ask(evaluation);
      const result = await check(target, evaluation);
      if (result === "none" || result === "permerror") throw new SpfEnd("permerror");
      if (result === "temperror") throw new SpfEnd("temperror");
      return result === "pass";
    }
    case "exists":
    case "ptr":
      throw new SpfEnd("unknown");
    default:
      throw new SpfEnd("permerror");
  }
}

function ask(evaluation: SpfEvaluation): void {
  evaluation.asked++;
  if (evaluation.asked > mostQuestions) throw new SpfEnd("permerror");
}

async function addressesOf(name: string, { names, address }: SpfEvaluation): Promise<readonly string[]> {
  const found = await records(isIPv6(address) ? names.resolve6(name) : names.resolve4(name));
  if (found === "trouble") throw new SpfEnd("temperror");
  return found;
}

/** Whether `address` is in the network of `base` with the prefix of its kind; never for another kind. */
function covers(base: string, v4: string, v6: string, address: string): boolean {
  if (isIPv6(base) !== isIPv6(address)) return false;
  const kind = isIPv6(address) ? "ipv6" : "ipv4";
  const prefix = Number(kind === "ipv6" ? v6 : v4);
  const list = new BlockList();
  try {
    list.addSubnet(base, prefix, kind);
  } catch {
    throw new SpfEnd("permerror"); // no address, or a prefix beyond its length
  }
  return list.check(address, kind);
}

/** How much work a record makes at most, whoever the sender is. */
export interface SpfCount {
  readonly hasRecord: boolean;
  /** Terms that ask the DNS, of all records that it includes. */
  readonly questions: number;
  /** Those of them that find nothing (RFC 7208 section 4.6.4: two may). */
  readonly empty: number;
  /** The DNS did not answer, so there may be more. */
  readonly trouble: boolean;
}

/** More are not followed: a record that includes itself has no end. */
const mostCounted = 40;

/** Counts what the record of `domain` makes a receiver ask before it gives up. */
export async function countSpfQuestions(domain: string, names: DnsQueries): Promise<SpfCount> {
  const count = { hasRecord: false, questions: 0, empty: 0, trouble: false };
  const walk = async (name: string): Promise<void> => {
    const found = await records(names.resolveTxt(name));
    if (found === "trouble") count.trouble = true;
    else {
      const record = found.map((strings) => strings.join("")).find((text) => /^v=spf1(?: |$)/i.test(text));
      if (record !== undefined) count.hasRecord = true;
      else if (count.questions > 0) count.empty += 1;
      for (const term of (record ?? "").split(/ +/).slice(1)) {
        if (count.questions >= mostCounted || /^[-+~?]?all$/i.test(term)) return;
        await step(term.toLowerCase(), name);
      }
    }
  };
  const step = async (term: string, name: string): Promise<void> => {
    const [, kind = "", target = name] =
      /^[-+~?]?(include|a|mx|ptr|exists|redirect)(?:[:=]([^/]*))?(?:\/.*)?$/.exec(term) ?? [];
    if (kind === "") return;
    count.questions += 1;
    if (target.includes("%")) return; // a macro: it depends on the sender
    if (kind === "include" || kind === "redirect") await walk(target);
    else if (kind === "a" || kind === "mx") {
      const asked =
        kind === "mx" ? [names.resolveMx(target)] : [names.resolve4(target), names.resolve6(target)];
      const found = await Promise.all(asked.map((question) => records<unknown>(question)));
      if (found.includes("trouble")) count.trouble = true;
      else if (found.every((one) => one.length === 0)) count.empty += 1;
    }
  };
  await walk(domain);
  return count;
}
