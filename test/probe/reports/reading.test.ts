/** Reports as Google, Microsoft, Yahoo, Mail.ru, OpenDMARC, rspamd and RFC 9990 write them, in every packing. */
import { describe, expect, test } from "vitest";
import { openMail } from "../../../src/probe/reports/mail.ts";
import type { DmarcRow } from "../../../src/probe/reports/report.ts";
import { reportsIn } from "../../../src/probe/reports/unpack.ts";
import { gzipOf, mailWith, sample, zipOf } from "./packed.ts";

const now = Date.parse("2026-11-29T12:00:00Z");

const row = (source: string, count: number, rest: Partial<DmarcRow> = {}): DmarcRow => ({
  source,
  count,
  dkim: false,
  spf: false,
  disposition: "none",
  via: "",
  reason: "",
  ...rest,
});
const both = { dkim: true, spf: true };

const dmarc: readonly (readonly [string, object])[] = [
  [
    "google.xml",
    {
      organization: "google.com",
      id: "10845523398216723412",
      from: Date.parse("2026-11-27T00:00:00Z"),
      to: Date.parse("2026-11-27T23:59:59Z"),
      policy: "quarantine",
      rows: [
        row("192.0.2.10", 412, both),
        row("2001:db8:1:2::25", 3, { disposition: "quarantine", via: "lists.example.net" }),
      ],
    },
  ],
  [
    "microsoft.xml",
    {
      organization: "Outlook.com",
      rows: [row("192.0.2.10", 57, { dkim: true }), row("198.51.100.77", 2, { reason: "local_policy" })],
    },
  ],
  ["yahoo.xml", { organization: "Yahoo", id: "1795838465.194417", rows: [row("192.0.2.10", 20, both)] }],
  [
    "mailru.xml",
    {
      organization: "Почта Mail.ru",
      rows: [row("203.0.113.9", 5, { via: "forwarder.example.com", reason: "mailing_list" })],
    },
  ],
  [
    "opendmarc.xml",
    { id: "example.org:1795823999", rows: [row("192.0.2.10", 1, { disposition: "quarantine" })] },
  ],
  [
    "rspamd.xml",
    { organization: "Example GmbH", rows: [row("192.0.2.10", 8, both), row("192.0.2.10", 4, both)] },
  ],
  [
    "rfc9990.xml",
    {
      organization: "Example & Sons",
      id: "v1-3@sons.example.net",
      policy: "reject",
      rows: [row("2001:db8::25", 19, { dkim: true })],
    },
  ],
];

describe.each(dmarc)("the DMARC report %s", (name, expected) => {
  const report = { kind: "dmarc", domain: "example.org", ...expected };

  test("is read as it is, packed by gzip and in an archive", async () => {
    const plain = sample(name);
    for (const octets of [plain, gzipOf(plain), zipOf(plain), zipOf(plain, { method: 0 })])
      expect(await reportsIn(octets, now)).toMatchObject([report]);
  });

  test("is read out of a mail, wherever the mail is cut", async () => {
    const mail = Buffer.from(mailWith(gzipOf(sample(name)), "application/octet-stream"));
    for (const size of [1, 7, 4096]) {
      const reader = openMail();
      for (let at = 0; at < mail.length; at += size) reader.write(mail.subarray(at, at + size));
      const [attachment = Buffer.alloc(0), ...others] = reader.end().attachments;
      expect(others).toEqual([]);
      expect(await reportsIn(attachment, now)).toMatchObject([report]);
    }
  });
});

describe("a TLS report", () => {
  test("of Google", async () => {
    for (const octets of [sample("google-tls.json"), gzipOf(sample("google-tls.json"))]) {
      expect(await reportsIn(octets, now)).toEqual([
        {
          kind: "tls",
          organization: "Google Inc.",
          id: "2026-11-27T00:00:00Z_example.org",
          from: Date.parse("2026-11-27T00:00:00Z"),
          to: Date.parse("2026-11-27T23:59:59Z"),
          policies: [
            {
              domain: "example.org",
              type: "sts",
              good: 204,
              bad: 3,
              failures: [{ type: "certificate-expired", mx: "mx.example.org", count: 3 }],
            },
          ],
        },
      ]);
    }
  });

  test("of Microsoft, with a host as a text, and without details", async () => {
    expect(await reportsIn(gzipOf(sample("microsoft-tls.json")), now)).toMatchObject([
      {
        organization: "Microsoft Corporation",
        policies: [
          { type: "sts", good: 35, bad: 0, failures: [] },
          {
            domain: "sub.example.org",
            type: "no-policy-found",
            failures: [{ type: "starttls-not-supported", mx: "", count: 1 }],
          },
        ],
      },
    ]);
  });
});

describe("a report in another character set", () => {
  const text = sample("opendmarc.xml").toString().replace("mx.example.net</org", "Caf\u00e9</org");
  const declared = (encoding: string): string => `<?xml version="1.0" encoding="${encoding}"?>${text}`;

  test.each([
    ["ISO-8859-1", Buffer.from(declared("ISO-8859-1"), "latin1")],
    ["Windows-1252", Buffer.from(declared("Windows-1252"), "latin1")],
    ["UTF-8 with its mark", Buffer.from(`\ufeff${declared("utf-8")}`)],
    ["UTF-16 with its mark", Buffer.from(`\ufeff${declared("utf-16")}`, "utf16le")],
    ["UTF-8 that says it is UTF-16", Buffer.from(declared("utf-16"))],
  ])("%s", async (_, octets) => {
    expect(await reportsIn(octets, now)).toMatchObject([{ organization: "Caf\u00e9" }]);
  });
});

test("what is no report is none", async () => {
  for (const text of ["", "<", "<html><body>hello</body></html>", "{}", '{"policies":[]}', "PK\x03", "hello"])
    expect(await reportsIn(Buffer.from(text), now).catch((error: Error) => error.message)).toSatisfy(
      (found) => Array.isArray(found) || found === "it breaks off",
    );
  expect(await reportsIn(gzipOf(Buffer.from("a log\n")), now)).toEqual([]);
  expect(await reportsIn(zipOf(gzipOf(sample("google.xml"))), now)).toEqual([]);
});
