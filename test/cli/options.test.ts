import { describe, expect, expectTypeOf, test } from "vitest";
import {
  argument,
  command,
  flag,
  list,
  oneOf,
  parsed,
  parseOptions,
  value,
  wholeNumber,
} from "../../src/cli/options.ts";
import { colourFor, takesColour } from "../../src/cli/terminal.ts";
import { Failure } from "../../src/failure.ts";

const send = command({
  name: "send",
  summary: "Send a letter.",
  options: {
    config: value("-c, --config <file>", "Configuration file.", "/etc/letter.toml"),
    from: value("-f, --from <address>", "Sender."),
    auth: value("--auth [mechanisms]", "Log in."),
    check: flag("--check", "Only check."),
    noPrefix: flag("--no-prefix", "Without the scheme."),
    tls: flag("--tls, --starttls", "Use STARTTLS."),
    header: list("-H, --header <line>", "Add a header line."),
    workers: parsed("--workers <n>", "Threads.", wholeNumber(1, 64), "2"),
    timeout: parsed("--timeout <s>", "Seconds.", wholeNumber(1)),
    form: parsed("--form <form>", "Form of the output.", oneOf("text", "json"), "text"),
  },
  arguments: { letter: argument("<letter>", "File to send."), to: argument("[to...]", "Recipients.") },
  examples: ["tpa-submit send --check letter.txt", "tpa-submit send letter.txt user1@example.org"],
});

const parse = (...argv: string[]) => parseOptions(send, argv, () => undefined);

describe("parseOptions()", () => {
  test("gives every option its default when none is given", () => {
    expect(parse("letter.txt")).toStrictEqual({
      options: {
        config: "/etc/letter.toml",
        from: undefined,
        auth: undefined,
        check: false,
        noPrefix: false,
        tls: false,
        header: [],
        workers: 2,
        timeout: undefined,
        form: "text",
      },
      arguments: { letter: "letter.txt", to: [] },
    });
  });

  test("reads long, short, joined and repeated options, and options behind arguments", () => {
    const chosen = parse(
      "l",
      "-c",
      "x",
      "--from=a@example.org",
      "-Hone",
      "--header",
      "two",
      "b",
      "--workers=4",
    );
    expect(chosen?.options).toMatchObject({ config: "x", from: "a@example.org", header: ["one", "two"] });
    expect(chosen?.options.workers).toBe(4);
    expect(chosen?.arguments).toStrictEqual({ letter: "l", to: ["b"] });
  });

  test("takes the last of several values, both of two long names, and a --no- flag as given", () => {
    expect(parse("l", "-f", "a", "-f", "b")?.options.from).toBe("b");
    expect(parse("l", "--tls")?.options.tls).toBe(true);
    expect(parse("l", "--starttls")?.options.tls).toBe(true);
    expect(parse("l", "--no-prefix")?.options.noPrefix).toBe(true);
  });

  test("takes an optional value or its absence", () => {
    expect(parse("l", "--auth", "PLAIN")?.options.auth).toBe("PLAIN");
    expect(parse("l", "--auth")?.options.auth).toBe("");
  });

  test("takes what stands behind -- for arguments, and - for a value", () => {
    expect(parse("--", "--check", "-x")?.arguments).toStrictEqual({ letter: "--check", to: ["-x"] });
    expect(parse("l", "--from", "-")?.options.from).toBe("-");
  });

  test("starts anew each time", () => {
    parse("l", "-H", "one");
    expect(parse("l", "-H", "two")?.options.header).toEqual(["two"]);
  });

  test("infers the types of the values from the rows", () => {
    type Parsed = NonNullable<ReturnType<typeof parse>>;
    expectTypeOf<Parsed["options"]["check"]>().toEqualTypeOf<boolean>();
    expectTypeOf<Parsed["options"]["config"]>().toEqualTypeOf<string>();
    expectTypeOf<Parsed["options"]["from"]>().toEqualTypeOf<string | undefined>();
    expectTypeOf<Parsed["options"]["header"]>().toEqualTypeOf<readonly string[]>();
    expectTypeOf<Parsed["options"]["timeout"]>().toEqualTypeOf<number | undefined>();
    expectTypeOf<Parsed["options"]["form"]>().toEqualTypeOf<"text" | "json">();
    expectTypeOf<Parsed["arguments"]["letter"]>().toEqualTypeOf<string>();
    expectTypeOf<Parsed["arguments"]["to"]>().toEqualTypeOf<readonly string[]>();
  });

  const more = "; see tpa-submit send --help";
  test.each([
    [["--chekc", "l"], `unknown option '--chekc' (did you mean --check?)${more}`],
    [["--form", "jsn", "l"], `--form <form>: expected one of text, json, found "jsn"${more}`],
    [["--workers", "0", "l"], `--workers <n>: expected a whole number from 1 to 64, found "0"${more}`],
    [["--timeout", "1e3", "l"], `--timeout <s>: expected a whole number of at least 1, found "1e3"${more}`],
    [["l", "--from"], `option '-f, --from <address>' argument missing${more}`],
    [[], `missing required argument 'letter'${more}`],
  ])("says in one line what is wrong with %j", (argv, message) => {
    expect(() => parse(...argv)).toThrow(new Failure(64, message));
  });

  test("gives usage mistakes status 64 and does not repeat a value, which may be a secret", () => {
    let caught: unknown;
    try {
      parse("--pasword=hunter2\nand more", "l");
    } catch (error) {
      caught = error;
    }
    expect(caught).toMatchObject({ name: "Failure", status: 64 });
    expect(String(caught)).toContain("unknown option '--pasword'");
    expect(String(caught)).not.toContain("hunter2");
  });

  test("refuses more arguments than there are", () => {
    const one = { ...send, arguments: {} };
    expect(() => parseOptions(one, ["a"])).toThrow(/^too many arguments.*; see tpa-submit send --help$/);
  });

  test("shows the help, with defaults and examples, and returns undefined", () => {
    let help = "";
    const chosen = parseOptions(send, ["--help"], (text) => {
      help += text;
    });
    expect(chosen).toBeUndefined();
    expect(help).toContain("Usage: tpa-submit send [options] <letter> [to...]");
    expect(help).toMatch(/--workers <n> +Threads\. \(default: 2\)/);
    expect(help).toContain("Examples:\n  tpa-submit send --check letter.txt\n");
    expect(help).not.toContain("\u001b");
  });
});

test.each([
  [{ isTTY: true }, {}, true],
  [{ isTTY: true }, { NO_COLOR: "" }, true],
  [{ isTTY: true }, { NO_COLOR: "1" }, false],
  [{ isTTY: true }, { TERM: "dumb" }, false],
  [{}, {}, false],
])("takesColour(%j, %j) is %j", (stream, environment, expected) => {
  expect(takesColour(stream, environment)).toBe(expected);
});

test.each([
  ["green", "\u001b[32mtext\u001b[39m"],
  ["yellow", "\u001b[33mtext\u001b[39m"],
  ["red", "\u001b[31mtext\u001b[39m"],
  ["magenta", "\u001b[35mtext\u001b[39m"],
  ["bold", "\u001b[1mtext\u001b[22m"],
] as const)("colourFor() paints %s on a terminal and nowhere else", async (colour, painted) => {
  expect((await colourFor({ isTTY: true }, {}))(colour, "text")).toBe(painted);
  expect((await colourFor({ isTTY: true }, { NO_COLOR: "1" }))(colour, "text")).toBe("text");
  expect((await colourFor({}, { FORCE_COLOR: "1" }))(colour, "text")).toBe("text");
});
