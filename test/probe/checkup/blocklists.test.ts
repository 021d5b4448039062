/** What lists say of an address, and what they say of who asks. */
import { describe, expect, test } from "vitest";
import {
  askBlocklist,
  blocklistName,
  blocklistOf,
  blocklists,
  judgeBlocklist,
} from "../../../src/probe/checkup/blocklists.ts";
import { namesOf } from "./names.ts";

test.each([
  ["192.0.2.7", "7.2.0.192.bl.example.net"],
  ["2001:db8::1", "1.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.8.b.d.0.1.0.0.2.bl.example.net"],
  ["::ffff:192.0.2.7", "7.0.2.0.0.0.0.c.f.f.f.f.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.0.bl.example.net"],
])("%s is asked for as %s", (address, name) => {
  expect(blocklistName(address, "bl.example.net")).toBe(name);
});

const works = { "2.0.0.127.bl.example.net A": ["127.0.0.2"] };

describe("an address", () => {
  test.each([
    ["that is not on it", works, "ok", /does not list 192\.0\.2\.7$/],
    [
      "that is",
      { ...works, "7.2.0.192.bl.example.net A": ["127.0.0.4", "127.0.0.11"] },
      "failed",
      /lists 192\.0\.2\.7 \(127\.0\.0\.4, 127\.0\.0\.11\)$/,
    ],
    ["where the list has ceased to work", {}, "unknown", /does not answer, or has ceased to work$/],
    ["where the DNS is away", { "2.0.0.127.bl.example.net A": ["SERVFAIL"] }, "unknown", /does not answer/],
    [
      "where the list refuses the resolver",
      { ...works, "7.2.0.192.bl.example.net A": ["127.255.255.254"] },
      "unknown",
      /does not answer this resolver \(127\.255\.255\.254\)$/,
    ],
    // A zone that was given up and taken by somebody who answers everything.
    [
      "where the list is somebody else's",
      { "2.0.0.127.bl.example.net A": ["198.51.100.1"] },
      "unknown",
      /resolver/,
    ],
  ])("%s", async (_, zone, state, words) => {
    const list = blocklistOf("bl.example.net");
    if (list === undefined) throw new Error("a zone is a list");
    const [fact] = await askBlocklist("bl.example.net", list, ["192.0.2.7"], namesOf(zone));
    const [found, said] = fact ? judgeBlocklist(fact) : [];
    expect(found).toBe(state);
    expect(said).toMatch(words);
  });

  test("of IPv6 is not asked for where the list knows none", async () => {
    const { spamcop } = blocklists;
    if (spamcop === undefined) throw new Error("it is in the table");
    const zone = { "2.0.0.127.bl.spamcop.net A": ["127.0.0.2"] };
    const [fact] = await askBlocklist("spamcop", spamcop, ["2001:db8::1"], namesOf(zone));
    expect(fact?.result).toBe("no-ipv6");
  });
});

test("each list of the table tells its terms", () => {
  for (const { zone, terms, removal } of Object.values(blocklists)) {
    expect(zone).toMatch(/^[a-z0-9.-]+$/);
    expect(terms).toMatch(/^free/);
    expect(removal).toMatch(/\./);
  }
  expect(blocklistOf("no list")).toBeUndefined();
  expect(blocklistOf("constructor")).toBeUndefined();
});
