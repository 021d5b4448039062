/** What facts are worth, one fact changed at a time. */
import { X509Certificate } from "node:crypto";
import { describe, expect, test } from "vitest";
import type { DnsFacts, LoginFacts, PortFacts, ServiceFacts } from "../../../src/probe/checkup/gather.ts";
import { judgeFacts, worstState } from "../../../src/probe/checkup/judge.ts";
import { selfSigned } from "../../tools/certificate.ts";

const certificate = new X509Certificate(selfSigned(["submission.example.org"], 90).cert);
const now = Date.now();
const day = 86_400_000;

const dns: DnsFacts = {
  addresses: ["192.0.2.7"],
  srv: [
    { label: "_submission._tcp", targets: [{ host: "submission.example.org", port: 587, isAlias: false }] },
    { label: "_submissions._tcp", targets: [{ host: "submission.example.org", port: 465, isAlias: false }] },
  ],
  reverse: [{ address: "192.0.2.7", names: ["submission.example.org"], leadsBack: true }],
  spf: [{ address: "192.0.2.7", result: "pass" }],
  dmarc: "v=DMARC1; p=none",
};

const tls: NonNullable<PortFacts["tls"]> = {
  version: "TLSv1.3",
  cipher: "TLS_AES_256_GCM_SHA384",
  bits: 256,
  asked: false,
  client: [],
  peer: [certificate],
  host: "submission.example.org",
  hostMatches: true,
};

const port: PortFacts = {
  kind: "starttls",
  port: 587,
  isConnected: true,
  greeting: "submission.example.org ESMTP tpa-submit",
  inClear: new Map([["STARTTLS", ""]]),
  offers: new Map([
    ["AUTH", "PLAIN LOGIN"],
    ["SIZE", "52428800"],
  ]),
  tls,
  oldTls: false,
  times: [
    ["CONNECT", 20],
    ["HELO", 5],
  ],
  relaying: { code: 530, text: "5.7.0 Authentication required" },
  wrongPassword: { code: 535, text: "5.7.8 Authentication failed" },
};

const login: LoginFacts = {
  user: "user1",
  login: { code: 235, text: "2.7.0 Ok" },
  forging: { code: 550, text: "5.7.1 no" },
};

const facts: ServiceFacts = {
  host: "submission.example.org",
  domain: "example.org",
  dns,
  ports: [port],
  login,
  now,
};

const notWell = (changed: ServiceFacts): readonly string[] =>
  judgeFacts(changed)
    .filter(({ state }) => state !== "ok")
    .map(({ area, state, words }) => `${area}: ${state}: ${words}`);

describe("a checkup", () => {
  test("finds nothing where all is well, and says what it has looked at", () => {
    expect(notWell(facts)).toEqual([]);
    expect(judgeFacts(facts)).toHaveLength(20);
    expect(worstState(judgeFacts(facts))).toBe("ok");
  });

  test.each([
    [{ addresses: [] }, "failed: submission.example.org has no address"],
    [{ addresses: "trouble" }, "unknown: the DNS does not answer for submission.example.org"],
    [
      { srv: [{ label: "_submission._tcp", targets: [] }] },
      "warning: there is no SRV record _submission._tcp.example.org",
    ],
    [
      {
        srv: [{ label: "_submission._tcp", targets: [{ host: "x.example.org", port: 587, isAlias: true }] }],
      },
      "failed: _submission._tcp.example.org leads to x.example.org, which is an alias",
    ],
    [
      { srv: [{ label: "_smtps._tcp", targets: [{ host: "x.example.org", port: 465, isAlias: false }] }] },
      "warning: there is an SRV record _smtps._tcp.example.org (x.example.org:465)",
    ],
    [{ reverse: [{ address: "192.0.2.7", names: [], leadsBack: false }] }, "warning: 192.0.2.7 has no name"],
    [
      { reverse: [{ address: "192.0.2.7", names: ["other.example.net"], leadsBack: false }] },
      "warning: 192.0.2.7 is called other.example.net, which does not lead back to it",
    ],
    [{ spf: [{ address: "192.0.2.7", result: "none" }] }, "warning: example.org has no SPF record"],
    [
      { spf: [{ address: "192.0.2.7", result: "permerror" }] },
      "failed: SPF of example.org for 192.0.2.7: permerror",
    ],
    [{ spf: [{ address: "192.0.2.7", result: "fail" }] }, "warning: SPF of example.org for 192.0.2.7: fail"],
    [{ dmarc: "" }, "warning: example.org has no DMARC record"],
    [{ dmarc: null }, "unknown: the DNS does not answer for _dmarc.example.org"],
  ] satisfies readonly (readonly [Partial<DnsFacts>, string])[])(
    "of the DNS finds %j",
    (changed, expected) => {
      expect(notWell({ ...facts, dns: { ...dns, ...changed } })).toEqual([`DNS: ${expected}`]);
    },
  );

  test.each([
    [{ isConnected: false, trouble: "Connection refused" }, "failed: cannot be reached: Connection refused"],
    [{ greeting: "hello" }, "warning: greets as hello"],
    [{ inClear: new Map() }, "failed: does not offer STARTTLS"],
    [
      {
        inClear: new Map([
          ["STARTTLS", ""],
          ["AUTH", "PLAIN"],
        ]),
      },
      "failed: offers AUTH in clear",
    ],
    [
      { tls: { ...tls, distrust: "self-signed certificate" } },
      "failed: the certificate is not trusted: self-signed certificate",
    ],
    [{ tls: { ...tls, hostMatches: false } }, "failed: the certificate is not for submission.example.org"],
    [{ oldTls: true }, "warning: TLS 1.1 or older is taken"],
    [{ offers: new Map([["SIZE", "52428800"]]) }, "failed: offers no AUTH inside TLS"],
    [
      {
        offers: new Map([
          ["AUTH", "SCRAM-SHA-256"],
          ["SIZE", "52428800"],
        ]),
      },
      "warning: offers AUTH SCRAM-SHA-256",
    ],
    [
      {
        offers: new Map([
          ["AUTH", "PLAIN"],
          ["SIZE", "1000000"],
        ]),
      },
      "warning: takes messages of up to 1.0 MiB",
    ],
    [{ offers: new Map([["AUTH", "PLAIN"]]) }, "warning: tells no largest size"],
    [{ relaying: { code: 250, text: "Ok" } }, "failed: relays for people who have not logged in (250 Ok)"],
    [{ wrongPassword: { code: 235, text: "Ok" } }, "failed: takes any password (235 Ok)"],
    [{ wrongPassword: { code: 550, text: "no" } }, "warning: answers a wrong password with 550 no"],
    [
      { times: [["CONNECT", 5000]] as const },
      "warning: answers in 5000 ms in all, slowest CONNECT with 5000 ms",
    ],
  ] satisfies readonly (readonly [Partial<PortFacts>, string])[])(
    "of a port finds what is wrong (%#)",
    (changed, expected) => {
      expect(notWell({ ...facts, ports: [{ ...port, ...changed } as PortFacts] })).toEqual([
        `port 587: ${expected}`,
      ]);
    },
  );

  test.each([
    [80, "warning: the certificate ends in 9 days"],
    [91, "failed: the certificate has ended"],
  ])("sees after %i days that a certificate ends", (days, expected) => {
    expect(notWell({ ...facts, now: now + days * day })).toEqual([`port 587: ${expected}`]);
  });

  test.each([
    [{ login: { code: 535, text: "no" } }, "failed: user1 cannot log in (535 no)"],
    [{ forging: { code: 250, text: "Ok" } }, "failed: may send as anybody"],
  ] satisfies readonly (readonly [Partial<LoginFacts>, string])[])(
    "of a login finds %j",
    (changed, expected) => {
      expect(notWell({ ...facts, login: { ...login, ...changed } })).toEqual([`login: ${expected}`]);
    },
  );

  test("says what to do about everything that failed", () => {
    const broken = judgeFacts({
      ...facts,
      dns: { ...dns, addresses: [] },
      ports: [{ ...port, isConnected: false }],
    });
    expect(broken.filter(({ state }) => state === "failed").every(({ advice }) => advice !== undefined)).toBe(
      true,
    );
    expect(worstState(broken)).toBe("failed");
  });
});
