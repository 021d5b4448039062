/** A DNS for a test. */
import type { DnsQueries } from "../../../src/probe/checkup/spf.ts";

/** Of the records given, `NAME TYPE` -> values; "SERVFAIL" is trouble. */
export function namesOf(zone: Readonly<Record<string, readonly string[]>>): DnsQueries {
  const ask = async (name: string, type: string): Promise<readonly string[]> => {
    const found = zone[`${name} ${type}`];
    if (!found) throw Object.assign(new Error("no such name"), { code: "ENOTFOUND" });
    if (found[0] === "SERVFAIL") throw Object.assign(new Error("trouble"), { code: "ESERVFAIL" });
    return found;
  };
  return {
    resolve4: (name) => ask(name, "A"),
    resolve6: (name) => ask(name, "AAAA"),
    resolveTxt: async (name) => (await ask(name, "TXT")).map((text) => [text.slice(0, 10), text.slice(10)]),
    resolveMx: async (name) => (await ask(name, "MX")).map((exchange) => ({ exchange, priority: 10 })),
    resolveCname: (name) => ask(name, "CNAME"),
    resolveSrv: async () => [],
    reverse: (address) => ask(address, "PTR"),
  };
}
