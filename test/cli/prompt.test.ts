import { describe, expect, test } from "vitest";
import { emptyLine, typeKey } from "../../src/cli/prompt.ts";
import { real } from "../tools/real.ts";
import { onTerminal, type Shown, type Steps } from "../tools/terminal.ts";

describe("typeKey()", () => {
  test.each([
    ["letters", "abc\r", "abc", "entered"],
    ["a line feed from a paste", "abc\n", "abc", "entered"],
    ["letters of several octets", "pä日\r", "pä日", "entered"],
    ["Backspace over a letter of several octets", "a日\x7fb\r", "ab", "entered"],
    ["Backspace at the beginning", "\x7f\x08a\r", "a", "entered"],
    ["Ctrl-U", "wrong\x15right\r", "right", "entered"],
    ["arrow keys", "a\x1b[Ab\x1bOCc\x1b[1;5Dd\r", "abcd", "entered"],
    ["other control keys", "a\x01\x0bb\r", "ab", "entered"],
    ["Ctrl-C", "abc\x03", "abc", "interrupted"],
    ["Ctrl-D alone", "\x04", "", "closed"],
    ["Ctrl-D behind something", "abc\x04", "abc", "entered"],
  ])("takes %s", (_, typed, text, end) => {
    const line = Buffer.from(typed).reduce(typeKey, emptyLine);
    expect([Buffer.from(line.octets).toString(), line.end]).toEqual([text, end]);
  });
});

describe.skipIf(!real("script"))("on a terminal", () => {
  const dialogue = (argv: string, steps: Steps): Promise<Shown> => onTerminal(`passwd ${argv}`, steps);

  const first = "Enter new password: ";
  const second = "Retype new password: ";

  test("asks twice and shows nothing of what is typed", async () => {
    const { shown, status } = await dialogue("-s SSHA -V", [
      [first, "open sesame\r"],
      [second, "open sesame\r"],
    ]);
    expect(status).toBe(0);
    expect(shown).toMatch(/^Enter new password: \nRetype new password: \n/);
    expect(shown).toMatch(/\{SSHA\}\S+ \(verified\)\n$/);
    expect(shown).not.toContain("sesame");
  });

  test("takes what was pasted ahead as the second answer", async () => {
    const { shown, status } = await dialogue("-s PLAIN", [[first, "same\rsame\r"]]);
    expect([status, shown.includes("{PLAIN}same")]).toEqual([0, true]);
  });

  test("gives up after three times two different ones", async () => {
    const steps = [1, 2, 3].flatMap(
      () =>
        [
          [first, "one\r"],
          [second, "two\r"],
        ] as const,
    );
    const { shown, status } = await dialogue("-s PLAIN", steps);
    expect(status).toBe(1);
    expect(shown.match(/Passwords don't match!/g)).toHaveLength(3);
    expect(shown).not.toContain("{PLAIN}");
  });

  test("ends at Ctrl-C", async () => {
    const { shown, status } = await dialogue("-s PLAIN", [[first, "abc\x03"]]);
    expect([status, shown]).toEqual([130, "Enter new password: \ntpa-submit passwd: interrupted\n"]);
  });

  test.each([
    ["Ctrl-D", "\x04", "no password was typed"],
    ["an empty password", "\r\r", "the password is empty"],
  ])("makes no hash of %s", async (_, keys, complaint) => {
    const { shown, status } = await dialogue("-s PLAIN", [[first, keys]]);
    expect(status).toBe(75);
    expect(shown).toContain(complaint);
    expect(shown).not.toContain("{PLAIN}");
  });

  test("asks once to test a hash", async () => {
    const { shown, status } = await dialogue("-t '{PLAIN}secret'", [
      ["Enter password to verify: ", "secret\r"],
    ]);
    expect([status, shown.split("\n").length]).toEqual([0, 3]);
    expect(shown).toContain("(verified)");
  });
});
