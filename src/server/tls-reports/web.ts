/**
 * Brings a report to a web server (RFC 8460 section 5.4): the domain chooses the address, so it must be a public one, no
 * redirection is followed, and nothing of the answer is read.
 */
import { type RequestOptions, request } from "node:https";
import { isIP, isIPv6, type LookupFunction } from "node:net";
import { errorText } from "../../failure.ts";
import { isPublic } from "../delivery/dns/public-addresses.ts";
import type { Resolver } from "../delivery/dns/resolver.ts";
import { oneLine } from "../delivery/next-hop.ts";

export interface PostSettings {
  readonly resolver: Pick<Resolver, "ipv4" | "ipv6">;
  /** Whether the server may be on loopback or a private address. */
  readonly privateAddresses: boolean;
}

const timeout = 60_000;

/** Returns why it could not be brought; undefined where it was taken. Never rejects. */
export function reportPoster({
  resolver,
  privateAddresses,
}: PostSettings): (url: string, packed: Buffer) => Promise<string | undefined> {
  return async (url, packed) => {
    const { hostname, port, pathname, search } = new URL(url);
    const host = hostname.replace(/^\[(.*)\]$/, "$1");
    const answers = isIP(host) === 0 ? await Promise.all([resolver.ipv6(host), resolver.ipv4(host)]) : [];
    const found =
      isIP(host) === 0 ? answers.flatMap((one) => (one.kind === "found" ? one.values : [])) : [host];
    const addresses = found.filter((address) => privateAddresses || isPublic(address));
    if (addresses.length === 0) return `${host} has no address that is reachable from outside`;
    return posted(packed, {
      host,
      port: port === "" ? 443 : Number(port),
      path: `${pathname}${search}`,
      method: "POST",
      agent: false,
      headers: { "content-type": "application/tlsrpt+gzip", "content-length": packed.length },
      // Section 3: whoever cannot mend a certificate should still hear of it.
      rejectUnauthorized: false,
      lookup: lookupIn(addresses),
      signal: AbortSignal.timeout(timeout),
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

function posted(packed: Buffer, options: RequestOptions): Promise<string | undefined> {
  return new Promise((resolve) => {
    const sending = request(options, (response) => {
      const { statusCode = 0 } = response;
      resolve(statusCode >= 200 && statusCode < 300 ? undefined : `the web server answers ${statusCode}`);
      response.on("error", () => undefined).destroy();
    });
    sending.on("error", (error) => resolve(oneLine(errorText(error))));
    sending.end(packed);
  });
}
