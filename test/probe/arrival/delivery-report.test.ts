/** Reports about a probe's message, ours among them, and messages that only look like one. */
import { readFileSync } from "node:fs";
import { describe, expect, test } from "vitest";
import { deliveryReportIn } from "../../../src/probe/arrival/delivery-report.ts";

const id = "0123456789abcdef0123456789abcdef";

const report = (fields: string, about = `Original-Envelope-Id: ${id}`): Buffer =>
  Buffer.from(
    `From: <>\r\nContent-Type: multipart/report; report-type=delivery-status;\r\n\tboundary="b"\r\n\r\n--b\r\n\r\nSorry.\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; mx.example.net\r\n${about}\r\n\r\nFinal-Recipient: rfc822; x@example.net\r\n${fields}\r\n\r\n--b--\r\n`,
  );

describe("a report", () => {
  test("says what happened, and who says so", () => {
    const fields = "Action: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such\r\n\tuser";
    expect(deliveryReportIn(report(fields), id)).toEqual({
      action: "failed",
      status: "5.1.1",
      diagnostic: "550 5.1.1 no such user",
      reporter: "mx.example.net",
    });
  });

  test("of our own making is understood", () => {
    const file = new URL("../../server/dsn/dsn-parameters.eml", import.meta.url);
    const ours = Buffer.from(readFileSync(file, "latin1").replace(/\r?\n/g, "\r\n"), "latin1");
    const envid = /^Original-Envelope-Id: (.*)\r$/im.exec(ours.toString("latin1"))?.[1] ?? "";
    expect(envid).not.toBe("");
    expect(deliveryReportIn(ours, envid)).toMatchObject({
      action: "failed",
      status: expect.stringMatching(/^5\./),
    });
  });

  test("with control characters is told without them, and not at length", () => {
    const found = deliveryReportIn(
      report(`Action: failed\r\nStatus: 5.0.0\r\nDiagnostic-Code: smtp; \u001b[31m${"x".repeat(5000)}`),
      id,
    );
    expect(found?.diagnostic).toMatch(/^\[31mx+$/);
    expect(found?.diagnostic.length).toBeLessThanOrEqual(500);
  });

  test.each([
    ["about another message", report("Action: failed", "Original-Envelope-Id: other")],
    ["without an action", report("Status: 5.1.1")],
    ["with an action that nobody knows", report("Action: eaten")],
    ["that is no multipart/report", Buffer.from(`Content-Type: text/plain\r\n\r\n${id} Action: failed\r\n`)],
    ["without an end of its header", Buffer.from(`Content-Type: multipart/report\r\n${id}`)],
    ["of nothing", Buffer.alloc(0)],
  ])("is none %s", (_, message) => {
    expect(deliveryReportIn(message, id)).toBeUndefined();
  });
});
