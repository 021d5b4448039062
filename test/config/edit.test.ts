/** Single values set in the text of a configuration, and the text that `init` begins with. */
import { describe, expect, test } from "vitest";
import { commentedSettings } from "../../src/config/commented.ts";
import { parseConfig } from "../../src/config/config-file.ts";
import { type Change, setValues } from "../../src/config/edit.ts";

const set = (source: string, ...changes: readonly Change[]) => setValues(source, "x.toml", changes);

const cases: readonly (readonly [name: string, before: string, change: Change, after: string])[] = [
  [
    "in its own line, with its comment and its spaces",
    'hostname   = "old.example.org"  # ours\n',
    { table: "", key: "hostname", value: "new.example.org" },
    'hostname   = "new.example.org"  # ours\n',
  ],
  [
    "in its own table, where another has the same key",
    '[tls]\nkey = \'a\' # "b"\n[passwords]\nfile = "c"\n[other]\nkey = "d"\n',
    { table: "tls", key: "key", value: "e" },
    '[tls]\nkey = "e" # "b"\n[passwords]\nfile = "c"\n[other]\nkey = "d"\n',
  ],
  [
    "below the comment with its default, which stays",
    "# hostname = \"x\" # must be given\n# more\n[tls]\n# key = 'k'\ncertificate = 'c'\n",
    { table: "tls", key: "key", value: "n" },
    "# hostname = \"x\" # must be given\n# more\n[tls]\n# key = 'k'\nkey = \"n\"\ncertificate = 'c'\n",
  ],
  [
    "not below a comment of another table",
    '[delivery]\nport = 25\n\n# [[route]]\n# relay = "mx"\n\n[log]\n',
    { table: "delivery", key: "relay", value: "smtp://a:1" },
    '[delivery]\nport = 25\nrelay = "smtp://a:1"\n\n# [[route]]\n# relay = "mx"\n\n[log]\n',
  ],
  [
    "at the end of its table",
    "[tls]\n# mine\nkey = 'k'\n\n[log]\n",
    { table: "tls", key: "certificate", value: "c" },
    "[tls]\n# mine\nkey = 'k'\ncertificate = \"c\"\n\n[log]\n",
  ],
  [
    "in a new table at the end",
    "a = 1\n",
    { table: "tls", key: "key", value: 'q"\\' },
    'a = 1\n\n[tls]\nkey = "q\\"\\\\"\n',
  ],
  [
    "above the first table",
    "# hello\n\n[tls]\nkey = 'k'\n",
    { table: "", key: "domain", value: "d" },
    "# hello\ndomain = \"d\"\n\n[tls]\nkey = 'k'\n",
  ],
  ["in an empty file", "", { table: "", key: "domain", value: "d" }, 'domain = "d"\n'],
];

describe("a value is set", () => {
  test.each(cases)("%s", (_, before, change, after) => {
    const edited = set(before, change);
    expect(edited.text).toBe(after);
    expect(set(edited.text, change)).toEqual({ text: after, edits: [] });
  });

  test("with every line that changes told", () => {
    const source = "# note\nhostname = 'a'\n[tls]\n";
    const edited = set(
      source,
      { table: "", key: "hostname", value: "b" },
      { table: "", key: "domain", value: "d" },
      { table: "tls", key: "key", value: "k" },
    );
    expect(edited.edits).toEqual([
      { line: 2, before: "hostname = 'a'", after: 'hostname = "b"' },
      { line: 3, after: 'domain = "d"' },
      { line: 5, after: 'key = "k"' },
    ]);
  });

  test.each([
    ["a list of several lines", 'relay = [\n  "smtp://a:1",\n]\n'],
    ["a text of several lines", "relay = '''\na'''\n"],
    ["a number", "relay = 5\n"],
  ])("not in place of %s, which a person has to change", (_, lines) => {
    expect(() => set(`[delivery]\n${lines}`, { table: "delivery", key: "relay", value: "mx" })).toThrow(
      /^x\.toml:2: relay: is no text in a line of its own; change it by hand$/,
    );
  });
});

describe("the configuration that init begins with", () => {
  const given = 'hostname = "submission.example.org"\ndomain = "example.org"\n';
  const text = commentedSettings("/etc/tpa-submit/tpa-submit.toml");

  test("changes no default", () => {
    expect(parseConfig(`${given}${text}`, "x")).toEqual(parseConfig(given, "x"));
  });

  test("shows every default as it is", () => {
    const uncommented = text
      .replace(/^# .* = \(must be given\)\n/gm, "")
      .replace(/^# \[\[[a-z]+\]\]\n(?:# .*\n)*/gm, "")
      .replace(/^# ([a-z-]+ = )/gm, "$1");
    expect(uncommented).toMatch(/^lifetime = "5d"$/m);
    expect(parseConfig(`${given}${uncommented}`, "x")).toEqual(parseConfig(given, "x"));
  });

  test("has no line that is wider than a screen of 132 characters", () => {
    expect(text.split("\n").filter((line) => line.length > 132)).toEqual([]);
  });
});
