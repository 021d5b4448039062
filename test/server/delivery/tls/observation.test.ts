/** What is observed of TLS with a domain's hosts, for reports: by real sessions with a server of the test. */
import { createHash, X509Certificate } from "node:crypto";
import { createSecureContext } from "node:tls";
import { beforeAll, expect, test } from "vitest";
import type { TlsaRecord } from "../../../../src/server/delivery/dns/message.ts";
import type { Resolver } from "../../../../src/server/delivery/dns/resolver.ts";
import type { StsPolicy } from "../../../../src/server/delivery/tls/mta-sts-policy.ts";
import type { TlsObservation } from "../../../../src/server/delivery/tls/observation.ts";
import { mxTransport } from "../../../../src/server/delivery/transport.ts";
import type { Envelope } from "../../../../src/server/spool/envelope.ts";
import { type SelfSigned, selfSigned } from "../../../tools/certificate.ts";
import { close, type Script } from "../../../tools/fakeserver.ts";
import { outgoing, recipient, transportSettings } from "../fixtures.ts";
import { server } from "../hosts.ts";

let pair: SelfSigned;
let other: SelfSigned;
beforeAll(() => {
  pair = selfSigned(["mx.example.net"]);
  other = selfSigned(["www.example.net"]);
});

const starttls = { EHLO: "250-fake\n250 STARTTLS" };
const policy: StsPolicy = { mode: "enforce", mx: ["mx.example.net"], maxAge: 60 };
const strings = ["version: STSv1", "mode: enforce", "mx: mx.example.net", "max_age: 60"];

/** SHA-256 of the certificate's key. */
function recordFor({ cert }: SelfSigned): TlsaRecord {
  const key = new X509Certificate(cert).publicKey.export({ type: "spki", format: "der" });
  return { usage: 3, selector: 1, matching: 1, data: createHash("sha256").update(key).digest() };
}

interface Site {
  readonly script?: Script;
  readonly certificate?: SelfSigned;
  readonly policy?: StsPolicy;
  readonly tlsa?: readonly TlsaRecord[] | "trouble";
  readonly envelope?: Partial<Envelope>;
}

async function seen({ script = starttls, certificate = pair, policy: sts, tlsa, envelope }: Site) {
  const at = await server(script, { tls: createSecureContext(certificate) });
  const authentic = tlsa !== undefined;
  const resolver: Resolver = {
    mx: async () => ({ kind: "found", values: [{ exchange: "mx.example.net", priority: 1 }], authentic }),
    ipv4: async () => ({ kind: "found", values: ["127.0.0.1"], authentic }),
    ipv6: async () => ({ kind: "nothing" }),
    txt: async () => ({ kind: "nothing" }),
    ...(tlsa !== undefined && {
      signed: {
        tlsa: async () =>
          tlsa === "trouble"
            ? { kind: "trouble" as const, reason: "ESERVFAIL" }
            : { kind: "found" as const, values: tlsa, authentic },
        cname: async () => ({ kind: "nothing" as const }),
      },
    }),
  };
  const observed: TlsObservation[] = [];
  const transport = mxTransport(
    { resolver, hostname: "relay.example.org", port: at.port, privateAddresses: true, random: () => 0.5 },
    { of: async () => sts },
    transportSettings({ ca: pair.cert }),
    Date.now,
    { observe: (one) => void observed.push(one) },
  );
  const sent = outgoing({ recipients: [recipient("a@example.net")], ...envelope });
  await transport.deliver(sent, new AbortController().signal);
  return observed;
}

const host = { host: "mx.example.net", address: "127.0.0.1", domain: "example.net" };
const sts = { type: "sts", strings, hosts: ["mx.example.net"] };
const none = { type: "no-policy-found", strings: [], hosts: [] };
const failure = (type: string, code: string = expect.any(String)) => ({ type, code });

test.each<readonly [string, () => Site, readonly object[]]>([
  ["a good session under a policy", () => ({ policy }), [{ ...host, demanded: sts }]],
  [
    "a wrong certificate under a policy",
    () => ({ policy, certificate: other }),
    [{ ...host, demanded: sts, failure: failure("certificate-not-trusted") }],
  ],
  [
    "no TLS under a policy",
    () => ({ policy, script: { STARTTLS: "502 5.5.1 what?" } }),
    [{ ...host, demanded: sts, failure: failure("starttls-not-supported", "") }],
  ],
  [
    "a handshake that fails under a policy",
    () => ({ policy, script: { ...starttls, handshake: close } }),
    [{ ...host, demanded: sts, failure: failure("validation-failure") }],
  ],
  [
    "a host that the policy does not list",
    () => ({ policy: { ...policy, mx: ["mx.example.com"] } }),
    [{ host: "mx.example.net", address: "", failure: failure("validation-failure", "mx-not-listed") }],
  ],
  [
    "a wrong certificate under a policy in testing, though the mail goes",
    () => ({ policy: { ...policy, mode: "testing" }, certificate: other }),
    [{ ...host, failure: failure("certificate-not-trusted") }],
  ],
  [
    "no TLS under a policy in testing",
    () => ({ policy: { ...policy, mode: "testing" }, script: {} }),
    [{ ...host, failure: failure("starttls-not-supported", "") }],
  ],
  [
    "a certificate that the TLSA records are about",
    () => ({ tlsa: [recordFor(pair)] }),
    [{ ...host, demanded: { type: "tlsa", strings: [expect.stringMatching(/^3 1 1 [0-9a-f]{64}$/)] } }],
  ],
  [
    "a certificate that they are not about",
    () => ({ tlsa: [recordFor(other)] }),
    [{ ...host, demanded: { type: "tlsa" }, failure: failure("validation-failure", "tlsa-mismatch") }],
  ],
  [
    "TLSA records that the DNS does not tell",
    () => ({ tlsa: "trouble" }),
    [{ host: "", demanded: { type: "tlsa" }, failure: failure("dnssec-invalid", "") }],
  ],
  ["a session where nothing is demanded", () => ({ certificate: other }), [{ ...host, demanded: none }]],
  [
    "no TLS where nothing is demanded",
    () => ({ script: {} }),
    [{ ...host, demanded: none, failure: failure("starttls-not-supported", "") }],
  ],
  [
    "a handshake that fails where nothing is demanded, once",
    () => ({ script: { ...starttls, handshake: close } }),
    [{ ...host, demanded: none, failure: failure("validation-failure") }],
  ],
  [
    "nothing of a message that does not mind, such as a report",
    () => ({ policy, envelope: { tlsOptional: true } }),
    [],
  ],
  ["nothing of a host that hangs up", () => ({ policy, script: { greeting: close } }), []],
])("observes %s", async (_, site, expected) => {
  const observed = await seen(site());
  expect(observed).toMatchObject(expected);
  expect(observed.map((one) => "failure" in one)).toEqual(expected.map((one) => "failure" in one));
});
