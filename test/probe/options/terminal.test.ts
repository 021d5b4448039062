/** The program itself, asked by people at a terminal and by scripts over a pipe. It needs `npm run build` before. */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../../demo/program.mjs";
import { real } from "../../tools/real.ts";
import { onTerminal } from "../../tools/terminal.ts";

const always = "-s mail.example.org --helo host.example.org -f alice@example.org";

describe.skipIf(!real("script"))("at a terminal", () => {
  test("asks for what is missing, and does not show a password", async () => {
    const { shown, status } = await onTerminal(
      `probe ${always} --to -tls -p 587 -au alice -ap -pp --dump protocol,auth`,
      [
        ["To: ", "bob@example.org\r"],
        ["Password: ", "open sesame\r"],
      ],
    );
    expect(status).toBe(0);
    expect(shown).toMatch(/^To: bob@example\.org\nPassword: \n/);
    expect(shown).toContain("to              = bob@example.org\n");
    expect(shown.split("open sesame")).toHaveLength(2); // once, where --dump tells it
    expect(shown).toContain("password       = 'open sesame'");
  });

  test("ends at Ctrl-C", async () => {
    const { shown, status } = await onTerminal(`probe ${always} -t bob -au alice -ap`, [
      ["Password: ", "x\x03"],
    ]);
    expect([status, shown]).toEqual([130, "Password: \ninterrupted\n"]);
  });
});

describe("from a script", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "probe-options-"));
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  const probe = (line: string, input: string | undefined) =>
    spawnSync(process.execPath, [program, "probe", ...always.split(" "), ...line.split(" ")], {
      encoding: "utf8",
      cwd: folder,
      timeout: 30_000,
      env: { PATH: process.env["PATH"], HOME: folder, SWAKS_OPT_silent: "2" },
      ...(input === undefined ? { stdio: ["ignore", "pipe", "pipe"] } : { input }),
    });

  test("reads answers from a pipe, then the message", () => {
    const { status, stdout, stderr } = probe(
      "--to -d - --dump protocol,data,output",
      "bob@example.org\nA: b\n\nc\n",
    );
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/^To: /);
    expect(stdout).toContain("to              = bob@example.org\n");
    expect(stdout).toContain("A: b\r\n\r\nc\r\n");
    expect(stdout).toContain("silent             = 2\n");
  });

  test.each([[""], [undefined]])("ends where there is nothing to read (%o)", (input) => {
    const { status, stdout, stderr } = probe("--to", input);
    expect([status, stdout]).toEqual([1, "To: "]);
    expect(stderr).toBe("*** To: standard input has ended without an answer; give it as an option\n");
  });

  test("reads .swaksrc, and writes where --output says", () => {
    writeFileSync(join(folder, ".swaksrc"), "# mine\n\nto rc@example.org\n");
    const { status, stdout } = probe("--dump protocol", "");
    expect(status).toBe(0);
    expect(stdout).toContain("to              = rc@example.org\n");
    expect(probe("--config --to x --dump protocol --output none/x", "")).toMatchObject({
      status: 1,
      stderr: "*** Unable to open none/x for writing\n",
    });
  });
});
