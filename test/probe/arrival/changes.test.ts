import { describe, expect, test } from "vitest";
import { changesIn } from "../../../src/probe/arrival/changes.ts";

const sent = "From: a@example.org\r\nSubject: probe\r\nX-One: 1\r\n\r\nhello\r\n";

describe("what happened to a message on its way", () => {
  test.each([
    ["nothing", sent, []],
    ["what every hop adds", `Received: by x\r\nReturn-Path: <>\r\nDKIM-Signature: v=1\r\n${sent}`, []],
    ["a field that went", sent.replace("X-One: 1\r\n", ""), [{ kind: "field-gone", field: "X-One" }]],
    [
      "a field that was rewritten",
      sent.replace("Subject: probe", "Subject: [list] probe"),
      [{ kind: "field-changed", field: "Subject" }],
    ],
    ["a field that was only folded otherwise", sent.replace("Subject: probe", "Subject:\r\n probe"), []],
    ["a field that nobody expects", `List-Id: <l>\r\n${sent}`, [{ kind: "field-added", field: "List-Id" }]],
    ["another body", sent.replace("hello", "hello\r\n-- \r\nfooter"), [{ kind: "body-changed", field: "" }]],
    ["a line end more", `${sent}\r\n`, []],
  ])("%s", (_, came, expected) => {
    expect(changesIn(Buffer.from(sent), Buffer.from(came), false)).toEqual(expected);
  });

  test("a body that was not fetched whole is not compared", () => {
    expect(changesIn(Buffer.from(sent), Buffer.from(sent.slice(0, -4)), true)).toEqual([]);
  });
});
