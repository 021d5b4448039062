/** What the header of a message that arrived tells of its way, and what of that is to be believed. */
import { describe, expect, test } from "vitest";
import { findingsOf, hopsOf, withoutComments } from "../../../src/probe/arrival/trace.ts";

const lines = (...fields: readonly string[]): string => fields.map((field) => `${field}\r\n`).join("");
const sent = Date.parse("2026-11-22T12:00:00Z");

describe("hops", () => {
  test("come in the order of the way, each with the time it took", () => {
    const header = lines(
      "Received: from mx.example.net (mx.example.net [192.0.2.2])\r\n\tby imap.example.net (Dovecot) with LMTP id abc\r\n\tfor <x@example.net>; Sun, 22 Nov 2026 12:00:09 +0000",
      "Received: from relay.example.org by mx.example.net; Sun, 22 Nov 2026 13:00:04 +0100 (CET)",
      "Received: by relay.example.org (tpa-submit) with ESMTPSA id 1; Sun, 22 Nov 2026 12:00:01 +0000",
      "Subject: probe",
    );
    expect(hopsOf(header, sent, sent + 10_000)).toEqual([
      { by: "relay.example.org", from: "", at: sent + 1000, took: 1000 },
      { by: "mx.example.net", from: "relay.example.org", at: sent + 4000, took: 3000 },
      { by: "imap.example.net", from: "mx.example.net", at: sent + 9000, took: 5000 },
    ]);
  });

  test("whose clock is before the sending, or behind the arrival, are told to be off", () => {
    const header = lines(
      "Received: by late.example.net; Sun, 22 Nov 2026 12:10:00 +0000",
      "Received: by early.example.net; Sun, 22 Nov 2026 11:59:00 +0000",
    );
    expect(hopsOf(header, sent, sent + 5000)).toEqual([
      { by: "early.example.net", from: "", at: sent - 60_000, took: -60_000, skew: 60_000 },
      { by: "late.example.net", from: "", at: sent + 600_000, took: 660_000, skew: 595_000 },
    ]);
  });

  test.each([
    ["no date", "Received: by a.example", { by: "a.example", from: "" }],
    ["a date that is none", "Received: by a.example; yesterday", { by: "a.example", from: "" }],
    ["nothing at all", "Received:", { by: "", from: "" }],
    ["a comment for a name", "Received: (by b.example) by a.example", { by: "a.example", from: "" }],
  ])("with %s are hops all the same", (_, header, hop) => {
    expect(hopsOf(lines(header), sent, sent)).toEqual([hop]);
  });

  test("are not counted for ever", () => {
    expect(hopsOf("Received: by a.example\r\n".repeat(1000), sent, sent)).toHaveLength(50);
  });

  test("are read through nested comments and stray brackets", () => {
    expect(withoutComments("a (b (c) \\) d) e) f")).toBe("a  e) f");
  });
});

const theirs = "Received: from relay.example.org by mx.example.net; Sun, 22 Nov 2026 12:00:00 +0000";
const ours = "Received: by relay.example.org; Sun, 22 Nov 2026 12:00:00 +0000";

describe("findings", () => {
  const full =
    "Authentication-Results: mx.example.net; spf=pass smtp.mailfrom=example.org;\r\n dkim=fail (bad; key) header.d=example.org; dmarc=none";
  test.each([
    ["below the receiving host's own field", [theirs, full, ours], undefined],
    ["above it", [full, theirs, ours], undefined],
    ["by the name that the operator gave", [full, ours], "MX.example.net"],
  ])("are believed %s", (_, header, authority) => {
    expect(findingsOf(lines(...header), authority)).toEqual({ spf: "pass", dkim: "fail", dmarc: "none" });
  });

  test.each([
    [
      "of a host that the receiving side does not name",
      [theirs, full.replace("mx.example.net", "mx.example.com"), ours],
      undefined,
    ],
    [
      "that another host may have written on the way",
      ["Received: by mx.example.net", "Received: by relay.example.com", full, ours],
      undefined,
    ],
    ["not by the name that the operator gave", [theirs, full, ours], "other.example.net"],
    ["within a comment", [theirs, `Authentication-Results: (${full.slice(24)})`], undefined],
    ["where there are none", [theirs, "Authentication-Results: mx.example.net; none", ours], undefined],
  ])("are not believed %s", (_, header, authority) => {
    expect(findingsOf(lines(...header), authority)).toEqual({});
  });

  test("of the topmost field win", () => {
    const header = lines(
      theirs,
      "Authentication-Results: mx.example.net; spf=fail",
      "Authentication-Results: mx.example.net; spf=pass; dkim=pass",
      ours,
    );
    expect(findingsOf(header)).toEqual({ spf: "fail", dkim: "pass" });
  });
});
