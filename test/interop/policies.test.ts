/** What domains and messages demand of TLS, with a real Postfix as the host of a domain, a name server and a web server. */
import { Resolver } from "node:dns/promises";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer, type Server } from "node:https";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { systemResolver } from "../../src/server/delivery/dns/resolver.ts";
import { openStsPolicies, policyFetcher, stsCache } from "../../src/server/delivery/tls/mta-sts.ts";
import { mxTransport } from "../../src/server/delivery/transport.ts";
import type { TransportSettings } from "../../src/server/delivery/transport-settings.ts";
import type { Envelope } from "../../src/server/spool/envelope.ts";
import { outgoing, recipient, replies, transportSettings } from "../server/delivery/fixtures.ts";
import { selfSigned } from "../tools/certificate.ts";
import { type NameServer, nameServer, type Records } from "../tools/dns.ts";
import { startPostfix } from "./postfix.mjs";
import { realPostfix } from "./root.ts";

/** Each has a policy that lists its own host, but for "plain", which has none. */
const domains = ["good", "imposter", "testing", "plain"] as const;

describe.skipIf(!realPostfix())("a Postfix whose certificate is for mx.good.example.net", () => {
  const pair = selfSigned(["mx.good.example.net", ...domains.map((name) => `mta-sts.${name}.example.net`)]);
  let postfix: Awaited<ReturnType<typeof startPostfix>>;
  let names: NameServer;
  let web: Server;
  let folder: string;
  let send: (
    to: string,
    envelope?: Partial<Envelope>,
    more?: Partial<TransportSettings>,
  ) => Promise<string | undefined>;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-policies-"));
    postfix = await startPostfix(
      `smtpd_tls_security_level = may
smtpd_tls_cert_file = FOLDER/cert.pem
smtpd_tls_key_file = FOLDER/key.pem
relay_domains = example.net .example.net
parent_domain_matches_subdomains = relay_domains
default_transport = discard
relay_transport = discard
`,
      { files: { "cert.pem": pair.cert, "key.pem": pair.key } },
    );
    const zone = new Map<string, Records>(
      domains.flatMap((name) => [
        [`${name}.example.net`, { mx: [[10, `mx.${name}.example.net`]] }],
        [`mx.${name}.example.net`, { a: ["127.0.0.1"] }],
        [`mta-sts.${name}.example.net`, { a: ["127.0.0.1"] }],
        [`_mta-sts.${name}.example.net`, { txt: name === "plain" ? [] : ["v=STSv1; id=1;"] }],
      ]),
    );
    names = await nameServer(zone);
    web = createServer(pair, ({ headers: { host = "" } }, response) => {
      const name = host.split(".")[1] ?? "";
      const mode = name === "testing" ? "testing" : "enforce";
      response.writeHead(200, { "content-type": "text/plain; charset=utf-8" });
      response.end(`version: STSv1\nmode: ${mode}\nmx: *.${name}.example.net\nmax_age: 86400\n`);
    }).listen(0, "127.0.0.1");
    await once(web, "listening");
    const system = new Resolver();
    system.setServers([names.address]);
    const resolver = systemResolver(system);
    const { port } = web.address() as AddressInfo;
    const fetching = policyFetcher({ resolver, privateAddresses: true, port, ca: pair.cert });
    const policies = await openStsPolicies(resolver, fetching, stsCache(folder), Date.now);
    const routing = {
      resolver,
      hostname: "submission.example.org",
      port: postfix.port,
      privateAddresses: true,
      random: Math.random,
    };
    send = async (domain, envelope = {}, more = {}) => {
      const transport = mxTransport(
        routing,
        policies,
        transportSettings({ ca: pair.cert, ...more }),
        Date.now,
      );
      const sent = outgoing({ recipients: [recipient(`x@${domain}.example.net`)], ...envelope });
      return replies(await transport.deliver(sent, new AbortController().signal))[0];
    };
  });
  afterAll(async () => {
    await postfix?.stop();
    await names?.close();
    web?.close();
    await rm(folder, { recursive: true });
  });

  const taken = /^250 2\.0\.0 Ok: queued as /;
  const requireTls = { requireTls: true };
  const tlsOptional = { tlsOptional: true };

  test.each<readonly [string, string, Partial<Envelope>, Partial<TransportSettings>, RegExp]>([
    ["gets mail for its domain under the policy", "good", {}, {}, taken],
    [
      "gets none for a domain in whose name it cannot speak",
      "imposter",
      {},
      {},
      /^451 4\.7\.5 .*does not match/,
    ],
    ["gets it where that policy is in testing", "testing", {}, {}, taken],
    ["gets it where the writer does not mind", "imposter", tlsOptional, {}, taken],
    ["gets it where there is no policy", "plain", {}, {}, taken],
    ["gets it where TLS must be, with any certificate", "plain", {}, { tls: "encrypted" }, taken],
    [
      "gets none where its name must be proven",
      "plain",
      {},
      { tls: "verified" },
      /^451 4\.7\.5 .*does not match/,
    ],
    ["gets no message with REQUIRETLS, which it does not know", "good", requireTls, {}, /^550 5\.7\.30 /],
    [
      "gets no message with REQUIRETLS where nobody vouches for it",
      "plain",
      requireTls,
      {},
      /^550 5\.7\.10 /,
    ],
  ])("%s", async (_, domain, envelope, more, expected) => {
    expect(await send(domain, envelope, more)).toMatch(expected);
  });

  test("has seen TLS each time, and no message that was not to go there", async () => {
    const ends = (await postfix.log()).split("\n").filter((line) => /disconnect from .* mail=/.test(line));
    expect(
      ends.map((line) => line.replace(/^.*: /, "")).map((line) => line.match(/(?:starttls|mail)=\S+/g)),
    ).toEqual(Array.from({ length: 5 }, () => ["starttls=1", "mail=1"]));
  });
});
