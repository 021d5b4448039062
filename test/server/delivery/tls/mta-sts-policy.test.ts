import { describe, expect, test } from "vitest";
import type { NextHop } from "../../../../src/server/delivery/next-hop.ts";
import {
  applyStsPolicy,
  isListed,
  policyId,
  readPolicy,
} from "../../../../src/server/delivery/tls/mta-sts-policy.ts";

describe("the TXT record that tells of a policy (RFC 8461 section 3.1)", () => {
  test.each<readonly [string, readonly string[], string | undefined]>([
    ["is what the RFC shows", ["v=STSv1; id=20160831085700Z;"], "20160831085700Z"],
    ["needs no semicolon at its end", ["v=STSv1;id=1"], "1"],
    ["may have blanks round its semicolons", ["v=STSv1 ;\tid=1 ; "], "1"],
    ["may have fields that we do not know", ["v=STSv1; x-y.z=%41:!; id=a1"], "a1"],
    ["counts by its first id", ["v=STSv1; id=1; id=2"], "1"],
    ["stands among records of others", ["v=spf1 -all", "v=STSv1; id=1"], "1"],
    ["must stand alone among its kind", ["v=STSv1; id=1", "v=STSv1; id=2"], undefined],
    ["must begin with its version", ["id=1; v=STSv1"], undefined],
    ["must be of the version that we know", ["v=STSv2; id=1"], undefined],
    ["says STSv1 in these letters", ["v=stsv1; id=1"], undefined],
    ["must have an id", ["v=STSv1;"], undefined],
    ["must have an id of 32 letters and digits at most", [`v=STSv1; id=${"a".repeat(33)}`], undefined],
    ["must have an id without other signs", ["v=STSv1; id=2016-08-31"], undefined],
    ["must have nothing but fields", ["v=STSv1; id=1; what"], undefined],
    ["must have no blanks in a field", ["v=STSv1; id = 1"], undefined],
    ["may not be there", [], undefined],
  ])("%s", (_, texts, id) => {
    expect(policyId(texts)).toBe(id);
  });
});

const good = "version: STSv1\nmode: enforce\nmx: mx.example.net\nmax_age: 604800\n";

describe("the text of a policy (RFC 8461 section 3.2)", () => {
  test.each([
    ["with LF", good],
    ["with CRLF", good.replaceAll("\n", "\r\n")],
    ["without an end of the last line", good.trimEnd()],
    ["with any blanks round values", good.replaceAll(": ", ":\t ").replaceAll("\n", " \n")],
    ["in any order", good.trimEnd().split("\n").reverse().join("\n")],
    ["with fields that we do not know", `${good}x-extra: \u00fcber all: yes\n`],
    ["with a field twice, the first of which counts", `${good}mode: none\nmax_age: 1\nversion: STSv2\n`],
  ])("is read %s", (_, text) => {
    expect(readPolicy(text)).toEqual({ mode: "enforce", mx: ["mx.example.net"], maxAge: 604_800 });
  });

  test("has hosts in the order of the file, in lower case", () => {
    const text = good.replace("mx: mx.example.net", "mx: MX1.example.net\nmx: *.Example.net");
    expect(readPolicy(text)).toMatchObject({ mx: ["mx1.example.net", "*.example.net"] });
  });

  test("needs no hosts where it has no mode", () => {
    expect(readPolicy("version: STSv1\nmode: none\nmax_age: 60\n")).toEqual({
      mode: "none",
      mx: [],
      maxAge: 60,
    });
  });

  test("holds for a year and six hours at most", () => {
    expect(readPolicy(good.replace("604800", "9999999999"))).toMatchObject({ maxAge: 31_557_600 });
  });

  test.each([
    ["nothing", "", "its version is not STSv1"],
    ["HTML", "<!DOCTYPE html>\n", "line 1 is no field"],
    ["an empty line", good.replace("mode", "\nmode"), "line 2 is no field"],
    ["a field without a value", `${good}x:\n`, "line 5 is no field"],
    ["a NUL", `${good}x: \0\n`, "line 5 is no field"],
    ["a lone CR", good.replace("\n", "\r"), "line 1 is no field"],
    ["another version", good.replace("STSv1", "STSv2"), "its version is not STSv1"],
    ["no version", good.replace("version: STSv1\n", ""), "its version is not STSv1"],
    ["another mode", good.replace("enforce", "Enforce"), "its mode is not enforce, testing or none"],
    ["no max_age", good.replace(/max_age.*\n/, ""), "its max_age is no number of seconds"],
    ["a negative max_age", good.replace("604800", "-1"), "its max_age is no number of seconds"],
    [
      "a max_age of eleven digits",
      good.replace("604800", "10000000000"),
      "its max_age is no number of seconds",
    ],
    ["no mx", good.replace(/mx: .*\n/, ""), "it lists no mx"],
    ["an address as mx", good.replace("mx.example.net", "192.0.2.1]"), "an mx is no host name"],
    ["a wildcard alone", good.replace("mx.example.net", "*"), "an mx is no host name"],
    ["a wildcard inside a label", good.replace("mx.example.net", "mx*.example.net"), "an mx is no host name"],
    ["a wildcard further down", good.replace("mx.example.net", "mx.*.example.net"), "an mx is no host name"],
    ["501 hosts", good + "mx: mx.example.net\n".repeat(500), "an mx is no host name"],
  ])("is none with %s", (_, text, wrong) => {
    expect(readPolicy(text)).toEqual({ wrong });
  });
});

describe("a host (RFC 8461 section 4.1)", () => {
  test.each([
    ["mx.example.net", "mx.example.net", true],
    ["MX.Example.NET", "mx.example.net", true],
    ["mx.example.net", "*.example.net", true],
    ["a.mx.example.net", "*.example.net", false],
    ["example.net", "*.example.net", false],
    ["mx.example.net.example.com", "mx.example.net", false],
    ["mx2.example.net", "mx.example.net", false],
  ])("%s is listed by %s: %s", (host, pattern, listed) => {
    expect(isListed(host, { mode: "enforce", mx: [pattern], maxAge: 1 })).toBe(listed);
  });
});

describe("hosts under a policy", () => {
  const at = (host: string, more: Partial<NextHop> = {}): NextHop => ({
    host,
    address: "192.0.2.1",
    port: 25,
    ...more,
  });
  const listed = at("mx.example.net");
  const unlisted = at("mx.example.com");
  const unusable = at("mx.example.net", { tls: { kind: "encrypted" } });
  const dane = at("mx.example.com", { tls: { kind: "dane", names: ["mx.example.com"], records: [] } });
  const hops = [listed, unlisted, unusable, dane];
  const verified = { kind: "verified", names: ["mx.example.net"] };
  const policy = { mx: ["mx.example.net"], maxAge: 1 };

  test("in force are those that it lists, verified for their own names, and those that DANE speaks for", () => {
    expect(applyStsPolicy(hops, { ...policy, mode: "enforce" })).toEqual({
      left: [{ ...listed, tls: verified }, { ...unusable, tls: verified }, dane],
      unlisted: [unlisted],
    });
  });

  test("in testing are all, each on trial but for those that DANE speaks for", () => {
    expect(applyStsPolicy(hops, { ...policy, mode: "testing" })).toEqual({
      left: [...[listed, unlisted, unusable].map((hop) => ({ ...hop, trial: true })), dane],
      unlisted: [unlisted],
    });
  });

  test("of the mode none are all, as they were", () => {
    expect(applyStsPolicy(hops, { ...policy, mode: "none" })).toEqual({ left: hops, unlisted: [] });
  });
});
