/** What is counted, in what form it is reported, and who asks for it. */
import { gunzipSync } from "node:zlib";
import { describe, expect, test } from "vitest";
import { readTlsReport } from "../../../src/probe/reports/tls-rpt.ts";
import {
  failureIn,
  noDemand,
  type TlsObservation,
  unknownSts,
} from "../../../src/server/delivery/tls/observation.ts";
import { packedReport, reportJson, reportMail, targetsIn } from "../../../src/server/tls-reports/report.ts";
import { dayOf, newTlsTally } from "../../../src/server/tls-reports/tally.ts";

const start = Date.parse("2026-11-27T12:00:00Z");
const day = 86_400_000;

const seen = (more: Partial<TlsObservation> = {}): TlsObservation => ({
  domain: "example.net",
  demanded: noDemand,
  host: "mx.example.net",
  address: "192.0.2.25",
  ...more,
});
const sts = {
  type: "sts",
  strings: ["version: STSv1", "mode: enforce", "mx: mx.example.net", "max_age: 86400"],
  hosts: ["mx.example.net"],
} as const;
const expired = failureIn("CERT_HAS_EXPIRED");
const reporting = {
  organization: "Exämple",
  contact: "postmaster@example.org",
  domain: "example.org",
  hostname: "relay.example.org",
};

/** A tally with one good session and two that failed alike, a day later. */
function counted() {
  let time = start;
  const tally = newTlsTally("", () => time);
  tally.add(seen({ demanded: sts }));
  tally.add(seen({ demanded: sts, failure: expired }));
  tally.add(seen({ demanded: sts, failure: expired }));
  expect(tally.due()).toEqual([]);
  time += day;
  const [first] = tally.due();
  if (!first) throw new Error("nothing is due");
  return first;
}

describe("the tally", () => {
  test("counts by day, domain, policy and reason", () => {
    expect(counted()).toEqual({
      day: "2026-11-27",
      domain: "example.net",
      policies: [
        {
          demanded: sts,
          good: 1,
          bad: 2,
          failures: [
            {
              type: "certificate-expired",
              code: "CERT_HAS_EXPIRED",
              host: "mx.example.net",
              address: "192.0.2.25",
              count: 2,
            },
          ],
        },
      ],
    });
  });

  test("goes on from its own text, and from none that is damaged", () => {
    const before = newTlsTally("", () => start);
    before.add(seen());
    const after = newTlsTally(before.text(), () => start + day);
    after.add(seen());
    expect(after.due()).toMatchObject([{ policies: [{ good: 1, bad: 0 }] }]);
    for (const text of [
      "",
      "{",
      "null",
      "[]",
      '{"domains":[{"day":"x"}]}',
      `{"domains":[{"day":"2026-11-27","domain":"d","policies":[{}]}]}`,
    ])
      expect(newTlsTally(text, () => start + day).due()).toEqual([]);
  });

  test("forgets a day after two others", () => {
    let time = start;
    const tally = newTlsTally("", () => time);
    tally.add(seen());
    time += 2 * day;
    expect(tally.due()).toHaveLength(1);
    time += day;
    expect(tally.due()).toEqual([]);
    expect(tally.text()).toBe('{"domains":[]}\n');
  });

  test("stays small, whatever domains do", () => {
    const tally = newTlsTally("", () => start);
    for (let at = 0; at < 3000; at++) tally.add(seen({ domain: `d${at}.example.net` }));
    for (let at = 0; at < 100; at++) {
      const strings = [`${at}`, "x".repeat(at * 100)];
      tally.add(seen({ domain: "d1.example.net", demanded: { ...sts, strings } }));
      tally.add(seen({ domain: "d2.example.net", host: `mx${at}.example.net`, failure: expired }));
    }
    const { domains } = JSON.parse(tally.text()) as {
      domains: readonly { policies: readonly { bad: number; failures: readonly unknown[] }[] }[];
    };
    expect(domains).toHaveLength(2000);
    expect(domains[1]?.policies).toHaveLength(8);
    expect(domains[2]?.policies[0]?.failures).toHaveLength(30);
    expect(domains[2]?.policies[0]?.bad).toBe(100);
    expect(tally.text().length).toBeLessThan(500_000);
  });
});

describe("the report", () => {
  test("has the fields of RFC 8460, and is read by our own reader", () => {
    const json = reportJson(counted(), reporting);
    expect(JSON.parse(json)).toEqual({
      "organization-name": "Exämple",
      "date-range": { "start-datetime": "2026-11-27T00:00:00Z", "end-datetime": "2026-11-27T23:59:59Z" },
      "contact-info": "postmaster@example.org",
      "report-id": expect.stringMatching(/^[0-9a-f]{24}@relay\.example\.org$/),
      policies: [
        {
          policy: {
            "policy-type": "sts",
            "policy-string": sts.strings,
            "policy-domain": "example.net",
            "mx-host": ["mx.example.net"],
          },
          summary: { "total-successful-session-count": 1, "total-failure-session-count": 2 },
          "failure-details": [
            {
              "result-type": "certificate-expired",
              "receiving-mx-hostname": "mx.example.net",
              "receiving-ip": "192.0.2.25",
              "failed-session-count": 2,
              "failure-reason-code": "CERT_HAS_EXPIRED",
            },
          ],
        },
      ],
    });
    expect(readTlsReport(json, start + day)).toMatchObject({
      organization: "Exämple",
      policies: [{ domain: "example.net", type: "sts", good: 1, bad: 2 }],
    });
    expect(gunzipSync(packedReport(counted(), reporting)).toString()).toBe(json);
  });

  test("has no lines for what is empty", () => {
    const tally = newTlsTally("", () => start);
    tally.add(
      seen({
        demanded: unknownSts,
        host: "",
        address: "",
        failure: { type: "sts-policy-fetch-error", code: "" },
      }),
    );
    const [one] = newTlsTally(tally.text(), () => start + day).due();
    const { policies } = JSON.parse(reportJson(one ?? counted(), reporting)) as { policies: unknown };
    expect(policies).toEqual([
      {
        policy: { "policy-type": "sts", "policy-domain": "example.net" },
        summary: { "total-successful-session-count": 0, "total-failure-session-count": 1 },
        "failure-details": [{ "result-type": "sts-policy-fetch-error", "failed-session-count": 1 }],
      },
    ]);
  });

  test("is a mail of plain ASCII with short lines", () => {
    const mail = reportMail(counted(), reporting, "tls@example.net", "1@relay.example.org", start + day);
    const text = mail.toString("latin1");
    expect(text).toMatch(/^[\r\n -~]*$/);
    for (const line of text.split("\r\n")) expect(line.length).toBeLessThanOrEqual(120);
    expect(text).toContain("From: <tls-reports@relay.example.org>\r\n");
    expect(text).toMatch(
      /\r\nSubject: Report Domain: example\.net\r\n Submitter: example\.org\r\n Report-ID: <[0-9a-f]{24}@relay\.example\.org>\r\n/,
    );
    expect(text).toContain('Content-Type: multipart/report; report-type="tlsrpt";\r\n boundary="');
    expect(text).toContain('filename="example.org!example.net!1795737600!1795823999!001.json.gz"');
  });
});

test.each([
  [["v=TLSRPTv1; rua=mailto:tls@example.net"], [{ kind: "mail", address: "tls@example.net" }]],
  [
    ["v=TLSRPTv1;rua=mailto:tls%2Bx@example.net!10m, https://example.net:8443/v1?a=b ; x=y"],
    [{ kind: "web", url: "https://example.net:8443/v1?a=b" }],
  ],
  [["v=TLSRPTv1; rua=mailto:a%2Bb@example.net?subject=x"], [{ kind: "mail", address: "a+b@example.net" }]],
  [["v=spf1 -all", "v=TLSRPTv1; rua=http://example.net/,mailto:%zz@x,mailto:a%0d%0ab@c.d,ftp://x"], []],
  [["v=TLSRPTv1; rua=mailto:a@b.c", "v=TLSRPTv1; rua=mailto:d@e.f"], []],
  [["v=TLSRPTv2; rua=mailto:a@b.c"], []],
  [["v=TLSRPTv1;"], []],
  [[], []],
  [
    [`v=TLSRPTv1; rua=${Array.from({ length: 9 }, (_, at) => `https://x${at}.example.net/`).join(",")}`],
    expect.objectContaining({ length: 3 }),
  ],
])("the records %j ask for %j", (records, targets) => {
  expect(targetsIn(records)).toEqual(targets);
});

test.each([
  ["CERT_HAS_EXPIRED", "certificate-expired"],
  ["ERR_TLS_CERT_ALTNAME_INVALID", "certificate-host-mismatch"],
  ["DEPTH_ZERO_SELF_SIGNED_CERT", "certificate-not-trusted"],
  ["ECONNRESET", "validation-failure"],
])("the error %s is %s", (code, type) => {
  expect(failureIn(Object.assign(new Error("x"), { code }))).toEqual({ type, code });
  expect(dayOf(start)).toBe("2026-11-27");
});
