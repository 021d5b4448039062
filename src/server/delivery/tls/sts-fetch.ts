/**
 * Fetches a domain's MTA-STS policy (RFC 8461 section 3.3): by HTTPS from one host name, whose certificate must be good,
 * once, and no redirection is followed. A stranger says where to: the address must be anybody's on the Internet.
 */

import { get, type RequestOptions } from "node:https";
import { isIPv6, type LookupFunction } from "node:net";
import { checkServerIdentity } from "node:tls";
import { errorText } from "../../../failure.ts";
import { oneLine } from "../host-reply.ts";
import { isPublic } from "../route/reach.ts";
import type { Resolver } from "../route/resolver.ts";

/** The text of the policy of a domain (in A-labels), or why there is none. Never rejects. */
export type FetchPolicy = (
  domain: string,
) => Promise<{ readonly text: string } | { readonly trouble: string }>;

export interface StsWeb {
  readonly resolver: Resolver;
  /** Whether the web server may be on loopback or a private address. */
  readonly privateAddresses: boolean;
  /** 443 but in tests. */
  readonly port: number;
  /** Certificates in PEM to trust in place of the known CAs. */
  readonly ca?: string;
}

/** RFC 8461 section 3.3 suggests a minute and 64 kilobytes. */
const patience = 60_000;
const largest = 64 * 1024;

export function fetchingFrom({ resolver, privateAddresses, port, ca }: StsWeb): FetchPolicy {
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
    return fetched({
      host,
      port,
      path: "/.well-known/mta-sts.txt",
      agent: false,
      headers: { accept: "text/plain" },
      lookup: lookupIn(addresses),
      signal: AbortSignal.timeout(patience),
      ...(ca !== undefined && { ca }),
      // a DNS-ID is a must, the subject's common name will not do
      checkServerIdentity: (name, certificate) =>
        certificate.subjectaltname === undefined
          ? new Error("the certificate has no subject alternative name")
          : checkServerIdentity(name, certificate),
    });
  };
}

/** node:net asks for one address or for all, by how it was called. */
function lookupIn(addresses: readonly string[]): LookupFunction {
  const all = addresses.map((address) => ({ address, family: isIPv6(address) ? 6 : 4 }));
  return (_, { all: wantsAll }, done) => {
    const [first] = all;
    if (wantsAll) done(null, all);
    else if (first) done(null, first.address, first.family);
  };
}

function fetched(options: RequestOptions): Promise<{ readonly text: string } | { readonly trouble: string }> {
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
        if (size > largest) refuse(`it is larger than ${largest} octets`);
      });
      response.on("end", () => resolve({ text: Buffer.concat(chunks).toString("utf8") }));
    });
    request.on("error", (error) => fail(errorText(error)));
  });
}
