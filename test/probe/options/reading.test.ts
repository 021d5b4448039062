import { describe, expect, test } from "vitest";
import { readTokens, tokensOf } from "../../../src/probe/options/sources.ts";
import { rows } from "../../../src/probe/options/table.ts";
import * as commandLine from "./command-line.ts";

/** `-s x -n y` as "server=x suppress-data left:y". */
function reading(line: string): string {
  const {
    options: settings,
    leftOver: left,
    mistakes,
  } = readTokens(tokensOf(commandLine.wordsOf(line)), true);
  return [
    ...settings.map(
      ({ row, forget, value }) =>
        `${forget ? "no:" : ""}${row.name}${value === undefined ? "" : `=${value}`}`,
    ),
    ...left.map((word) => `left:${word}`),
    ...mistakes.map((text) => `!${text}`),
  ].join(" ");
}

describe("readWords()", () => {
  test.each([
    // dashes, values
    ["-s x", "server=x"],
    ["--s x", "server=x"],
    ["-server x", "server=x"],
    ["--server x", "server=x"],
    ["-server=x", "server=x"],
    ["--ap=a=b", "auth-password=a=b"],
    ["-ap x", "auth-password=x"],
    ["-tls -au bob", "tls auth-user=bob"],
    ["--to 'a=b@example.org'", "to=a=b@example.org"],
    ["--to ''", "to="],
    ["--to=", "to="],
    ["-d -", "data=-"],
    // beginnings of names
    ["--serv x", "server=x"],
    ["-auth-us x", "auth-user=x"],
    ["--tls-opt", "!Option tls-opt is ambiguous (tls-optional, tls-optional-strict)"],
    ["--tls-optional", "tls-optional"],
    ["--v", "version"],
    ["--auth-pas x", "auth-password=x"],
    ["--auth-password-f x", "auth-password-file=x"],
    ["--Server x", "left:x !Unknown option: Server"],
    ["-S 2 -s x", "silent=2 server=x"],
    // what begins with a dash
    ["-au -n", "auth-user suppress-data"],
    ["--tls-sni -n", "tls-sni=-n"],
    ["-ap=-secret", "auth-password=-secret"],
    ["-p -1", "port !Unknown option: 1"],
    // numbers
    ["--silent", "silent"],
    ["--silent=-1", "silent=-1"],
    ["-S many", "silent left:many"],
    ["-S=many", "silent left:many"],
    // missing, unknown, left
    ["--tls-sni", "!Option tls-sni requires an argument"],
    ["-q", "!Option q requires an argument"],
    ["--bogus --worse", "!Unknown option: bogus !Unknown option: worse"],
    ["extra -n args", "suppress-data left:extra left:args"],
    ["-n=1", "suppress-data left:1"],
    ["-n -- -x y", "suppress-data left:-x left:y"],
    ["-", "left:-"],
    // --no-NAME
    ["--no-server", "no:server"],
    ["--no-s", "no:server"],
    ["--no-info-hints", "no-info-hints"],
    ["--no-no-info-hints", "no:no-info-hints"],
    ["--no-nih", "no:no-info-hints"],
    // headers
    ["--h-Subject Hello", "header=Subject: Hello"],
    ["--header-Subject: Hello", "header=Subject: Hello"],
    ["-h-X-Two=a=b", "header=X-Two: a=b"],
    ["--h-From", "header=From: "],
    ["--no-header-Subject", "no:header"],
    ["-h x", "helo=x"],
  ])("%s", (line, expected) => {
    expect(reading(line)).toBe(expected);
  });

  test("does not repeat what may be the rest of a password", () => {
    expect(reading("-ap -pssst")).toBe(
      "auth-password !Unknown option behind --auth-password: a password that begins with a dash is written --auth-password=-…",
    );
  });

  test.each(rows.flatMap((row) => [row.name, ...(row.aliases ?? [])].map((name) => [name, row] as const)))(
    "--%s is known, and can be forgotten",
    (name, row) => {
      const given = row.argument === "none" ? `--${name}` : `--${name} 1`;
      expect(reading(given)).toBe(row.argument === "none" ? row.name : `${row.name}=1`);
      expect(reading(`--no-${name}`)).toBe(`no:${row.name}`);
    },
  );
});

test("no two options have a name in common", () => {
  const names = rows.flatMap((row) => [row.name, ...(row.aliases ?? [])]);
  const all = [...names, ...names.map((name) => `no-${name}`)];
  expect(new Set(all).size).toBe(all.length);
});
