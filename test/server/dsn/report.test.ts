import { execFileSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import type { ReportContent } from "../../../src/server/dsn/explanation.ts";
import { writeReport } from "../../../src/server/dsn/report.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { pathOf, real } from "../../tools/real.ts";

/** NAME.json: what there is to tell. NAME.eml: the report, here with LF line ends. */
interface Given {
  readonly occasion: ReportContent;
  readonly envelope: Envelope;
  /** The message: lines, sent with CRLF. */
  readonly original: readonly string[];
  /** So many more octets of it, which only make it large. */
  readonly padding?: number;
}

const day = 86_400_000;
const folder = new URL("./", import.meta.url);
const names = readdirSync(folder)
  .filter((file) => file.endsWith(".json"))
  .map((file) => file.replace(/\.json$/, ""));

function given(name: string): { readonly given: Given; readonly report: Buffer } {
  const read = JSON.parse(readFileSync(new URL(`${name}.json`, folder), "utf8")) as Given;
  const start = Buffer.from(`${read.original.join("\r\n")}\r\n${"x".repeat(read.padding ?? 0)}`);
  const envelope = { ...read.envelope, size: start.length };
  const report = writeReport(read.occasion, envelope, start.subarray(0, 100_000), {
    hostname: "submission.example.org",
    messageId: "5A2A9C01B7E4.mi9y8z7x@submission.example.org",
    now: Date.UTC(2026, 10, 22, 14, 0, 0),
    until: envelope.accepted + 5 * day,
  });
  return { given: read, report };
}

describe("a report", () => {
  test.each(names)("about %s is as it was", async (name) => {
    const { report } = given(name);
    const text = report.toString("utf8");
    expect(text.replaceAll("\r\n", "")).not.toMatch(/[\r\n]/);
    await expect(text.replaceAll("\r\n", "\n")).toMatchFileSnapshot(`${name}.eml`);
  });

  test.each(names)("about %s has lines that every server takes", (name) => {
    const lines = given(name).report.toString("latin1").split("\r\n");
    expect(Math.max(...lines.map((line) => line.length))).toBeLessThanOrEqual(998);
  });

  test.each(names)("about %s has nothing of a stranger's in its header", (name) => {
    const [header = ""] = given(name).report.toString("utf8").split("\r\n\r\n");
    expect(header.split(/\r\n(?! )/).map((line) => line.split(":")[0])).toEqual(
      expect.arrayContaining(["Date", "From", "To", "Subject", "Message-ID", "Auto-Submitted"]),
    );
    expect(header).not.toMatch(/^X-Injected/m);
    expect(header).toMatch(/^Subject: Your message [a-z ,]+$/m);
  });
});

/**
 * For each report (base64, a JSON list): its parts' types, its status groups, and every defect that Python
 * finds.
 */
const parser = `
import base64, email, email.policy, json, sys
def read(text):
  report = base64.b64decode(text)
  types = [part.get_content_type() for part in email.message_from_bytes(report).get_payload()]
  # RFC 6533's type is not known to Python, and looks the same inside
  known = report.replace(b"message/global-delivery-status", b"message/delivery-status")
  message = email.message_from_bytes(known, policy=email.policy.default)
  parts = list(message.iter_parts())
  return {
    "type": message.get_content_type(),
    "report": message["Content-Type"].params.get("report-type"),
    "parts": types,
    "groups": [dict(group.items()) for group in parts[1].get_payload()],
    "defects": [str(defect) for part in message.walk() for defect in part.defects],
  }
print(json.dumps([read(report) for report in json.load(sys.stdin)]))
`;

describe.skipIf(!real("python3"))("reports, read by Python's email package,", () => {
  test("are what RFC 6522 and RFC 3464 say", () => {
    const all = names.map(given);
    const input = JSON.stringify(all.map(({ report }) => report.toString("base64")));
    const printed = execFileSync(pathOf("python3") ?? "", ["-c", parser], { input });
    expect(JSON.parse(printed.toString())).toMatchObject(
      all.map(({ given: { occasion } }) => ({
        type: "multipart/report",
        report: "delivery-status",
        parts: [
          "text/plain",
          expect.stringMatching(/^message\/(?:global-)?delivery-status$/),
          expect.stringMatching(/^(?:message|text)\//),
        ],
        defects: [],
        groups: [
          { "Reporting-MTA": "dns; submission.example.org" },
          ...occasion.recipients.map(({ action, recipient }) => ({
            Action: action,
            Status: recipient.reply?.status,
            "Final-Recipient": expect.stringMatching(/^(?:rfc822|utf-8); \S+/),
          })),
        ],
      })),
    );
  });
});
