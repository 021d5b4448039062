import { createHash, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect } from "node:net";
import { connect as connectTls, createServer } from "node:tls";
import { describe, expect, onTestFinished, test } from "vitest";
import type { TlsaRecord } from "../../../../src/server/delivery/dns/message.ts";
import { chainOf, isUsable, matchesTlsa } from "../../../../src/server/delivery/tls/dane.ts";
import { selfSigned } from "../../../tools/certificate.ts";
import { clientCertificate } from "../../../tools/client-certificate.ts";

const hour = 3_600_000;

const tlsa = (usage: number, selector: number, matching: number, data: Uint8Array): TlsaRecord => ({
  usage,
  selector,
  matching,
  data,
});

const digestOf = (octets: Uint8Array, name = "sha256"): Buffer => createHash(name).update(octets).digest();
const keyOf = ({ publicKey }: X509Certificate): Buffer =>
  Buffer.from(publicKey.export({ type: "spki", format: "der" }));

describe("TLSA records", () => {
  const authority = selfSigned(["a certificate authority"]);
  const below = clientCertificate(authority, ["DNS:intermediate.example.net"]);
  const host = clientCertificate(below, ["DNS:mx.example.net", "DNS:*.wild.example.net"], "serverAuth");
  const stranger = selfSigned(["mx.example.net"]);
  const [ca, middle, leaf, other] = [authority, below, host, stranger].map(
    ({ cert }) => new X509Certificate(cert),
  ) as [X509Certificate, X509Certificate, X509Certificate, X509Certificate];
  const chain = [leaf, middle, ca];
  const now = Date.now();

  const cases: readonly (readonly [
    name: string,
    matches: boolean,
    record: TlsaRecord,
    more?: { chain?: readonly X509Certificate[]; name?: string; now?: number },
  ])[] = [
    ["3 0 0 the certificate itself", true, tlsa(3, 0, 0, leaf.raw)],
    ["3 0 1 its SHA-256", true, tlsa(3, 0, 1, digestOf(leaf.raw))],
    ["3 0 2 its SHA-512", true, tlsa(3, 0, 2, digestOf(leaf.raw, "sha512"))],
    ["3 1 0 its key", true, tlsa(3, 1, 0, keyOf(leaf))],
    ["3 1 1 the key's SHA-256", true, tlsa(3, 1, 1, digestOf(keyOf(leaf)))],
    ["3 1 2 the key's SHA-512", true, tlsa(3, 1, 2, digestOf(keyOf(leaf), "sha512"))],
    ["3 1 1 of another key", false, tlsa(3, 1, 1, digestOf(keyOf(other)))],
    ["3 0 1 of the issuer", false, tlsa(3, 0, 1, digestOf(middle.raw))],
    ["3 1 1 for another name", true, tlsa(3, 1, 1, digestOf(keyOf(leaf))), { name: "mx.example.org" }],
    ["3 1 1 out of date", true, tlsa(3, 1, 1, digestOf(keyOf(leaf))), { now: now + 9000 * hour }],
    ["2 0 1 the authority", true, tlsa(2, 0, 1, digestOf(ca.raw))],
    ["2 1 2 the authority's key", true, tlsa(2, 1, 2, digestOf(keyOf(ca), "sha512"))],
    ["2 0 1 the one in between", true, tlsa(2, 0, 1, digestOf(middle.raw)), { chain: [leaf, middle] }],
    ["2 0 1 in any order", true, tlsa(2, 0, 1, digestOf(ca.raw)), { chain: [leaf, ca, middle] }],
    ["2 0 1 without the one in between", false, tlsa(2, 0, 1, digestOf(ca.raw)), { chain: [leaf, ca] }],
    ["2 0 1 of an authority that is not shown", false, tlsa(2, 0, 1, digestOf(ca.raw)), { chain: [leaf] }],
    ["2 0 0 the authority, not shown", true, tlsa(2, 0, 0, ca.raw), { chain: [leaf, middle] }],
    ["2 1 0 the authority's key, not shown", true, tlsa(2, 1, 0, keyOf(ca)), { chain: [leaf, middle] }],
    ["2 1 0 of a stranger", false, tlsa(2, 1, 0, keyOf(other)), { chain: [leaf, middle] }],
    ["2 0 1 of the host itself", false, tlsa(2, 0, 1, digestOf(leaf.raw))],
    ["2 0 1 of one who signed itself", false, tlsa(2, 0, 1, digestOf(other.raw)), { chain: [other] }],
    ["2 0 1 shown, but not the issuer", false, tlsa(2, 0, 1, digestOf(other.raw)), { chain: [leaf, other] }],
    ["2 0 1 for another name", false, tlsa(2, 0, 1, digestOf(ca.raw)), { name: "mx.example.org" }],
    ["2 0 1 for a wildcard's name", true, tlsa(2, 0, 1, digestOf(ca.raw)), { name: "a.wild.example.net" }],
    ["2 0 1 out of date", false, tlsa(2, 0, 1, digestOf(ca.raw)), { now: now + 9000 * hour }],
    ["2 0 1 not yet valid", false, tlsa(2, 0, 1, digestOf(ca.raw)), { now: now - 9000 * hour }],
    ["3 0 1 and no certificate", false, tlsa(3, 0, 1, digestOf(leaf.raw)), { chain: [] }],
    ["1 0 1 the certificate: PKIX-EE", false, tlsa(1, 0, 1, digestOf(leaf.raw))],
    ["0 0 1 the authority: PKIX-TA", false, tlsa(0, 0, 1, digestOf(ca.raw))],
  ];

  test.each(cases.map(([name, matches, record, more = {}]) => ({ name, matches, record, more })))(
    "$name: $matches",
    ({ matches, record, more }) => {
      const { name = "mx.example.net" } = more;
      expect(matchesTlsa(more.chain ?? chain, [record], [name], more.now ?? now)).toBe(matches);
    },
  );

  test("match where one of several does, for one of several names", () => {
    const records = [tlsa(3, 1, 1, digestOf(keyOf(other))), tlsa(2, 0, 1, digestOf(ca.raw))];
    expect(matchesTlsa(chain, records, ["example.net", "mx.example.net"], now)).toBe(true);
    expect(matchesTlsa(chain, [], ["mx.example.net"], now)).toBe(false);
  });

  test("cannot be used where usage, selector, matching type or data make no sense", () => {
    const digest = digestOf(leaf.raw);
    const unusable = [
      tlsa(0, 0, 1, digest),
      tlsa(1, 1, 1, digest),
      tlsa(4, 0, 1, digest),
      tlsa(255, 0, 1, digest),
      tlsa(3, 2, 1, digest),
      tlsa(3, 0, 3, digest),
      tlsa(3, 0, 1, digest.subarray(1)),
      tlsa(3, 0, 2, digest),
      tlsa(3, 0, 0, digest),
      tlsa(3, 1, 0, leaf.raw),
      tlsa(2, 0, 0, Buffer.alloc(0)),
    ];
    expect(unusable.filter(isUsable)).toEqual([]);
    expect(isUsable(tlsa(3, 1, 1, digest))).toBe(true);
  });

  test("are held against what a host shows in a real handshake", async () => {
    const cert = [host.cert, below.cert, authority.cert].join("");
    const server = createServer({ key: host.key, cert }, (socket) => socket.end()).listen(0, "127.0.0.1");
    onTestFinished(() => void server.close());
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const socket = connectTls({ socket: connect(port, "127.0.0.1"), rejectUnauthorized: false });
    await once(socket, "secureConnect");
    const shown = chainOf(socket);
    socket.destroy();
    expect(shown.map(({ fingerprint256 }) => fingerprint256)).toEqual(
      chain.map(({ fingerprint256 }) => fingerprint256),
    );
  });
});
