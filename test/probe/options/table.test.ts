/** The table, and what is made of it: help, manual page, completions. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { exitStatuses } from "../../../src/probe/exit-status.ts";
import { completionFor, helpText, synopsis } from "../../../src/probe/options/help.ts";
import type { OptionRow } from "../../../src/probe/options/option.ts";
import { groups, rows, writtenNames } from "../../../src/probe/options/table.ts";
import { real } from "../../tools/real.ts";
import { printed, type, wordsOf } from "./command-line.ts";

const page = readFileSync(new URL("../../../man/tpa-submit-probe.1", import.meta.url), "utf8");

describe("every option", () => {
  test.each(rows.map((row) => [row.name, row] as const))(
    "%s: its example holds it, and works",
    async (_, row) => {
      const words = wordsOf(row.example).map((word) => word.replace(/=.*/s, ""));
      const names = writtenNames(row).map((name) => name.replace(/^-+/, ""));
      const given = words.map((word) => word.replace(/^--?/, "").replace(/^h-.*/, "header"));
      expect(given.some((word) => names.includes(word))).toBe(true);
      const files = Object.fromEntries(
        [
          ...["message.eml", "raw", "mbox", "report.pdf", "body.html", "logo.png", "probe.conf"],
          ...["ca.pem", "me.pem", "me.key"],
        ].map((name) => [name, ""]),
      );
      const secrets = { "/run/probe/password": "secret\n", "/etc/probe/key": "k".repeat(32) };
      const line = row.example.replace(/ [<>] \S+/g, "");
      const { outcome } = await type(line, { files: { ...files, ...secrets }, input: "alice\nsecret\n" });
      expect(outcome.kind === "mistake" ? outcome.text : "well").toBe("well");
    },
  );

  test.each(rows.map((row) => [row.name, row] as const))("%s: its help ends like a sentence", (_, row) => {
    expect(row.help).toMatch(/^[A-Z0-9"'a-z].*[.)]$/s);
  });
});

describe("--help", () => {
  test("shows every option with its example, in its group", async () => {
    expect(await printed("--help")).toBe(helpText);
    for (const row of rows) {
      expect(helpText).toContain(`\n  ${synopsis(row)}\n`);
      expect(helpText).toContain(`\n      $ tpa-submit probe ${row.example}\n`);
    }
    for (const { title } of groups) expect(helpText).toContain(`\n${title}:\n`);
  });

  test("fits into a terminal, but for examples", () => {
    const long = helpText.split("\n").filter((line) => line.length > 100 && !/^ +\$ /.test(line));
    expect(long.filter((line) => /^ {6}/.test(line))).toEqual([]);
  });
});

describe("tpa-submit-probe(1)", () => {
  /** `-s, --server [HOST[:PORT]]` as mdoc has it: `Fl s , -server Op Ar HOST[:PORT]`. */
  function mdoc(row: OptionRow): string {
    const names = writtenNames(row).map((name) => name.slice(1));
    const value = row.placeholder?.replaceAll("|", " | ").replaceAll("…", "...");
    const brackets = row.argument === "required" ? "" : "Op ";
    return `Fl ${names.join(" , ")}${value === undefined ? "" : ` ${brackets}Ar ${value}`}`;
  }

  test("has every option in the order of the help, in the same groups, and no other", () => {
    const text = page.slice(page.indexOf(".Sh OPTIONS"), page.indexOf(".Sh ENVIRONMENT"));
    const written = [...text.matchAll(/^\.(?:It (Fl .*)|Ss (.*))$/gm)].map(
      ([, item, title]) => item ?? title,
    );
    const declared = groups.flatMap(({ title, rows: members }) => [title, ...members.map(mdoc)]);
    expect(written).toEqual(declared);
  });

  test("has every exit status and no other", () => {
    const text = page.slice(page.indexOf(".Sh EXIT STATUS"), page.indexOf(".Sh EXAMPLES"));
    const written = [...text.matchAll(/^\.It (\d+)$/gm)].map(([, status]) => Number(status));
    expect(written).toEqual(Object.values(exitStatuses).map(([status]) => status));
  });

  test("has examples that work", async () => {
    const text = page.slice(page.indexOf(".Sh EXAMPLES"), page.indexOf(".Sh SEE ALSO"));
    const commands = text
      .replaceAll("\\(dq", '"')
      .replace(/\\e\n\s*/g, "")
      .matchAll(/^\$ tpa-submit probe (.*)$/gm);
    const files = { "message.eml": "", "graph.png": "", "/etc/probe/password": "secret\n" };
    const lines = [...commands].map(([, line = ""]) => line);
    expect(lines.length).toBeGreaterThan(15);
    for (const line of lines) {
      const { outcome } = await type(line, { files, input: "alice\nsecret\n" });
      expect(outcome.kind === "mistake" ? `${line}: ${outcome.text}` : "well").toBe("well");
    }
  });
});

describe("--completion", () => {
  test.each(["bash", "zsh", "fish"])("%s: knows every option", (shell) => {
    const script = completionFor(shell);
    for (const name of rows.flatMap(writtenNames)) {
      const written = shell === "fish" ? ` ${name.replace(/^-+/, "")} ` : name;
      expect(script).toContain(written);
    }
  });

  test("bash completes names, and files where a file is wanted", () => {
    const script = `${completionFor("bash")}
COMP_WORDS=(tpa-submit probe --auth-pas) COMP_CWORD=2; _tpa_submit_probe; echo "\${COMPREPLY[@]}"
COMP_WORDS=(tpa-submit probe --tls-ca-path /etc/host) COMP_CWORD=3; _tpa_submit_probe; echo "\${COMPREPLY[@]}"
COMP_WORDS=(tpa-submit serve --auth-pas) COMP_CWORD=2; COMPREPLY=(); _tpa_submit_probe; echo "\${#COMPREPLY[@]}"
COMP_WORDS=(tpa-submit probe --data @/etc/host) COMP_CWORD=3; _tpa_submit_probe; echo "\${COMPREPLY[@]}"`;
    const { stdout } = spawnSync("bash", ["--norc", "-c", script], { encoding: "utf8" });
    const [names = "", files = "", others = "", contents = ""] = stdout.split("\n");
    expect(names).toBe("--auth-password --auth-password-file");
    expect(files.split(" ")).toContain("/etc/hosts");
    expect(others).toBe("0");
    expect(contents.split(" ")).toContain("@/etc/hosts");
  });

  test.skipIf(!real("zsh"))("zsh can read its script", () => {
    const { status, stderr } = spawnSync("zsh", ["-fn"], { encoding: "utf8", input: completionFor("zsh") });
    expect([status, stderr]).toEqual([0, ""]);
  });

  test.skipIf(!real("fish"))("fish completes names, and says what they mean", () => {
    const home = mkdtempSync(join(tmpdir(), "tpa-submit-fish-"));
    onTestFinished(() => rmSync(home, { recursive: true }));
    const script = `${completionFor("fish")}\ncomplete -C "tpa-submit probe --auth-password-f"\ncomplete -C "tpa-submit serve --auth-p"`;
    const { stdout } = spawnSync("fish", ["--no-config", "-c", script], {
      encoding: "utf8",
      env: { PATH: process.env["PATH"], HOME: home },
    });
    expect(stdout).toBe("--auth-password-file\tRead the password from the first line of a file\n");
  });
});
