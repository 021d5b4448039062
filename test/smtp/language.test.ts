import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { formatDate } from "../../src/smtp/date.ts";
import { bodyOffset, fieldBody, isNamed, splitFields } from "../../src/smtp/header.ts";
import { formatReply, parseReply, reply } from "../../src/smtp/reply.ts";
import { decodeXtext, encodeXtext } from "../../src/smtp/xtext.ts";

describe("parseReply()", () => {
  it.each([
    ["250 2.1.5 Ok", reply(250, "2.1.5", "Ok")],
    ["250 Ok", reply(250, "2.0.0", "Ok")],
    ["250", reply(250, "2.0.0", "")],
    ["550-5.1.1 No such\r\n550 5.1.1 user", reply(550, "5.1.1", "No such user")],
    ["550-No such\n550 5.7.1 user", reply(550, "5.7.1", "No such user")],
    [
      "550 2.0.0 a code of another class is not believed",
      reply(550, "5.0.0", "a code of another class is not believed"),
    ],
    ["451 4.7.1", reply(451, "4.7.1", "")],
    ["garbage", reply(451, "4.5.0", "unexpected answer: garbage")],
    ["", reply(451, "4.5.0", "unexpected answer: ")],
  ])("reads %j", (said, expected) => {
    expect(parseReply(said)).toEqual(expected);
  });

  it("reads back what formatReply() writes", () => {
    const written = reply(452, "4.3.1", "Insufficient system storage");
    expect(parseReply(formatReply(written))).toEqual(written);
  });
});

describe("xtext", () => {
  it("comes back from encoding as it went in, whatever it is", () => {
    fc.assert(
      fc.property(fc.string({ unit: "grapheme" }), (text) => decodeXtext(encodeXtext(text)) === text),
    );
  });

  it("is refused where it is malformed", () => {
    for (const bad of ["a=b", "a+b", "a+4", "a+4g", "a b", "a+2b"]) expect(decodeXtext(bad)).toBeUndefined();
  });
});

describe("formatDate()", () => {
  it("writes a day before the tenth with one digit and always UTC", () => {
    expect(formatDate(Date.UTC(2026, 10, 2, 3, 4, 5))).toBe("Mon, 2 Nov 2026 03:04:05 +0000");
  });
});

describe("header", () => {
  const header = "From: a@example.org\r\nSubject: long\r\n line\r\nBCC : x@example.net\r\nno field\r\n";

  it("splits into fields and joins back to the same octets", () => {
    const fields = splitFields(header);
    expect(fields.map(({ name }) => name)).toEqual(["From", "Subject", "BCC", ""]);
    expect(fields.map(({ raw }) => raw).join("")).toBe(header);
  });

  it("unfolds a field's body", () => {
    expect(splitFields(header).map(fieldBody)[1]).toBe("long line");
  });

  it("knows names in any case", () => {
    expect(splitFields(header).some((field) => isNamed(field, "Bcc"))).toBe(true);
  });

  it("ends at the first empty line", () => {
    expect(bodyOffset(Buffer.from("A: b\r\n\r\nbody\r\n\r\n"))).toBe(8);
    expect(bodyOffset(Buffer.from("\r\nbody"))).toBe(2);
    expect(bodyOffset(Buffer.from("A: b\r\n"))).toBeUndefined();
  });
});
