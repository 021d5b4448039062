/** What receivers look at, one fact changed at a time. */
import { describe, expect, test } from "vitest";
import type { PortFacts, ServiceFacts } from "../../../src/probe/checkup/gather.ts";
import { judgeSender, type SenderFacts } from "../../../src/probe/checkup/sender.ts";

const port: PortFacts = {
  kind: "starttls",
  port: 587,
  isConnected: true,
  greeting: "submission.example.org ESMTP",
  times: [],
};

const service: ServiceFacts = {
  host: "submission.example.org",
  domain: "example.org",
  dns: {
    addresses: ["192.0.2.7"],
    srv: [],
    reverse: [{ address: "192.0.2.7", names: ["Submission.example.org"], leadsBack: true }],
    spf: [],
    dmarc: "v=DMARC1; p=reject",
  },
  ports: [port],
  now: 0,
};

const well: SenderFacts = {
  spf: { hasRecord: true, questions: 3, empty: 0, trouble: false },
  dmarc: { text: "v=DMARC1; p=reject; rua=mailto:dmarc@example.org", at: "example.org" },
  sts: { kind: "policy", mode: "enforce", days: 7, unlisted: [] },
  dane: [{ port: 587, result: { records: 1, authentic: true, matches: true } }],
  ipv6: [{ address: "2001:db8::1", greeting: "220 submission.example.org ESMTP", trouble: "" }],
};

const notWell = (facts: SenderFacts, of = service): readonly string[] =>
  judgeSender(facts, of)
    .filter(([state]) => state !== "ok")
    .map(([state, words, advice = ""]) => `${state}: ${words}${/\S/.test(advice) ? "" : " (no advice)"}`);

const named = (names: readonly string[], greeting = port.greeting ?? ""): ServiceFacts => ({
  ...service,
  ports: [{ ...port, greeting }],
  dns: { ...service.dns, reverse: [{ address: "192.0.2.7", names, leadsBack: true }] },
});

test("all is well, and each thing is said", () => {
  expect(notWell(well)).toEqual([]);
  expect(judgeSender(well, service).map(([, words]) => words)).toEqual([
    "calls itself submission.example.org, as 192.0.2.7 is called",
    "SPF of example.org takes 3 DNS questions at most",
    "the DMARC policy of example.org is reject: receivers refuse what others send in its name",
    "DMARC reports are asked for",
    "MTA-STS of example.org: enforce for 7 days",
    "the TLSA record of port 587 matches the certificate",
    "IPv6: 2001:db8::1 greets",
  ]);
});

describe("names", () => {
  test.each([
    [
      "another one",
      named(["mail.example.org"]),
      /^warning: calls itself submission.*and 192\.0\.2\.7 is called mail/,
    ],
    [
      "one made of the address",
      named(["192-0-2-7.dsl.example.net"]),
      /^warning: .*as addresses of homes are/,
    ],
    [
      "one made of it backwards",
      named(["host7-2-0-192.example.net"]),
      /^warning: .*as addresses of homes are/,
    ],
    [
      "no full name",
      named(["submission.example.org"], "submission ESMTP"),
      /^warning: calls itself submission, which/,
    ],
  ])("%s", (_, of, words) => {
    expect(notWell(well, of)).toEqual([expect.stringMatching(words)]);
  });
});

test.each<readonly [string, Partial<SenderFacts>, RegExp]>([
  [
    "SPF with too many questions",
    { spf: { hasRecord: true, questions: 11, empty: 0, trouble: false } },
    /^failed: .*11 DNS questions.*10 are/,
  ],
  [
    "with nearly too many",
    { spf: { hasRecord: true, questions: 9, empty: 0, trouble: false } },
    /^warning: .*takes 9/,
  ],
  [
    "with empty ones",
    { spf: { hasRecord: true, questions: 4, empty: 3, trouble: false } },
    /^failed: .*3 of them without an answer/,
  ],
  [
    "SPF that cannot be counted",
    { spf: { hasRecord: true, questions: 4, empty: 0, trouble: true } },
    /^unknown: /,
  ],
  [
    "a DMARC policy that is none",
    { dmarc: { text: "v=DMARC1; p=all; rua=mailto:x@example.org", at: "example.org" } },
    /^failed: the DMARC policy of example\.org is not understood/,
  ],
  [
    "no reports",
    { dmarc: { text: "v=DMARC1; p=none", at: "example.org" } },
    /^warning: DMARC reports are not/,
  ],
  [
    "MTA-STS without an MX",
    { sts: { kind: "policy", mode: "enforce", days: 1, unlisted: ["mx2.example.org"] } },
    /^failed: .*without the MX mx2\.example\.org/,
  ],
  [
    "MTA-STS that is broken",
    { sts: { kind: "wrong", words: "its policy cannot be fetched: x" } },
    /^failed: MTA-STS/,
  ],
  [
    "DANE of another key",
    { dane: [{ port: 465, result: { records: 2, authentic: true, matches: false } }] },
    /^failed: the 2 TLSA records of port 465 do not match/,
  ],
  [
    "IPv6 where nobody is",
    { ipv6: [{ address: "2001:db8::1", greeting: "", trouble: "connect ECONNREFUSED" }] },
    /^failed: IPv6: 2001:db8::1 is in the DNS, and nobody greets/,
  ],
  [
    "IPv6 that we have not",
    { ipv6: [{ address: "2001:db8::1", greeting: "", trouble: "connect ENETUNREACH" }] },
    /^unknown: IPv6: /,
  ],
])("%s", (_, changed, words) => {
  expect(
    notWell({ ...well, ...changed }).map((one) => one.replace(/^(unknown.*) \(no advice\)$/, "$1")),
  ).toEqual([expect.stringMatching(words)]);
});

test("the policy of the organisation counts for a domain below it, and its sp= first", () => {
  const dmarc = { text: "v=DMARC1; p=reject; sp=none; rua=mailto:x@example.org", at: "example.org" };
  const below = { ...service, domain: "lists.example.org" };
  expect(judgeSender({ ...well, dmarc }, below).map(([, words]) => words)).toContain(
    "the DMARC policy of lists.example.org is none, by the record of example.org: receivers refuse nothing that others send in its name",
  );
});
