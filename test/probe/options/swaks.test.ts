/**
 * Beside Debian's swaks: what both make of the same command lines, read from --dump. The installed release is 20201014;
 * where a later one changed the options, that is said here.
 */
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { rows } from "../../../src/probe/options/table.ts";
import { real } from "../../tools/real.ts";
import { look, wordsOf } from "./command-line.ts";

/** Options that came after 20201014. */
const newer = new Set([
  "cc",
  "bcc",
  "tls-verify-ca",
  "tls-verify-host",
  "tls-verify-target",
  "tls-chain",
  "tls-get-peer-chain",
]);

/** Not compared, and why. */
const apart: Readonly<Record<string, string>> = {
  ...{ dump: "prints less", "dump-mail": "prints otherwise", support: "other modules" },
  ...{ version: "another program", help: "another text" },
  "trigger-deprecation": "is tested with --version",
  ...{ output: "prints into a file", "output-file-stdout": "prints into a file" },
  "copy-routing": "asks the DNS",
  protocol: "in the example it asks for a login: at the end of its input swaks goes on without one",
  "attach-body": "of several values in a list swaks prints the first, again and again",
  "no-hints": "since 20240103 the hints of the program's own lines go, too",
  "protect-prompt": "into a pipe, swaks prints stars",
};

const files = {
  ...{ "message.eml": "A: b\n\nc\n", raw: "raw\n", mbox: "From x\nA: b\n\nc\n", "report.pdf": "%PDF" },
  ...{
    "body.html": "<p>x",
    "logo.png": "PNG",
    "probe.conf": "timeout 7\n",
    "ca.pem": "",
    "me.pem": "",
    "me.key": "",
  },
};

/** Both must say the same there: who we are, and nothing from the account that runs the tests. */
const fixed = ["--helo", "host.example.org", "--from", "alice@host.example.org"];

describe.skipIf(!real("swaks"))("beside swaks", () => {
  let folder = "";
  beforeAll(() => {
    folder = mkdtempSync(join(tmpdir(), "probe-options-"));
    for (const [name, text] of Object.entries(files)) writeFileSync(join(folder, name), text);
  });
  afterAll(() => rmSync(folder, { recursive: true }));

  async function both(argv: readonly string[], input = "secret\n") {
    const theirs = spawnSync("swaks", argv, {
      cwd: folder,
      encoding: "utf8",
      input,
      env: { PATH: process.env["PATH"], HOME: folder },
    });
    const { outcome, prompts } = await look({ argv, files, input });
    const text = outcome.kind === "print" ? Buffer.from(outcome.octets).toString() : "";
    return {
      ours: {
        status: outcome.kind === "mistake" ? outcome.status : 0,
        stdout: tidy(prompts + text),
        stderr: [...outcome.warnings, ...(outcome.kind === "mistake" ? [outcome.text] : [])].join("\n"),
      },
      theirs: { status: theirs.status, stdout: tidy(theirs.stdout), stderr: tidy(theirs.stderr).trimEnd() },
    };
  }

  /** Without what tells the two programs, or two releases, from one another. */
  const tidy = (text: string): string =>
    text
      .replace(/Cmd Line = \S+/g, "Cmd Line = swaks")
      .replace(/swaks v[\d.]+/g, "swaks v1")
      .replace(/GLOB\(0x\w+\)/g, "GLOB");

  const compared = rows.filter(({ name, ours }) => !ours && !newer.has(name) && apart[name] === undefined);

  test.each(compared.map((row) => [row.name, row] as const))("--%s comes to the same", async (_, row) => {
    const argv = [...wordsOf(row.example), ...fixed, "--dump", "app,output,transport,protocol,xclient,proxy"];
    const { ours, theirs } = await both(argv);
    expect(ours).toEqual(theirs);
  });

  test.each([
    ["--serv x -t bob"],
    ["-t bob -s=x --ap=a=b -au u"],
    ["-t bob -s [192.0.2.1]:26"],
    ["-t bob -s 2001:db8::1/26"],
    ["-t bob -s x --protocol LMTP -q BANNER -da lhlo -das first-ehlo"],
    ["-t bob -s x --protocol smtps"],
    ["-t bob -s x --protocol ssmtp --tls-optional"],
    ["-t bob -s x -n --no-n --stl i --no-show-time-lapse"],
    ["-t 'bob, carol@example.org' -s x --timeout 3m"],
    ["-t bob -s x --silent 3 -ha"],
    ["-t bob -s x --xclient-addr 'a+b=c d' --xclient-delim --xclient RAW --xclient-port 1"],
    ["-t bob -s x --header-X-Test: 1"],
    ["-t bob@example.org -s x extra args"],
    ["-t bob -s x --bogus --worse"],
    ["-t bob -s x --tls-opt"],
    ["-t bob -s x --tls-sni"],
    ["-t bob -s x --pipe y"],
    ["-t bob -s x --protocol uucp"],
    ["-t bob -s x --timeout soon"],
    ["-t bob -s x --quit-after dot"],
    ["-t bob -s x --drop-after-send never"],
    ["-t bob -s x -4 -6"],
    ["-t bob -s ::1 -4"],
    ["-t bob -s x -p nonsense"],
    ["-t bob -s x -stl x"],
    ["-t bob -s x -tls --tls-cert x"],
    ["-t bob -s x -au u -ap p -a FOO"],
    ["-t bob -s x -au u -ap p --auth-map x"],
    ["-t bob -s x --body @none"],
    ["-t bob -s x --header"],
    ["-t bob -s x --proxy-version 3"],
    ["-t bob -s x --proxy 'TCP4 x'"],
    ["-s --to --helo --timeout", "mx\nbob\nme\n5\n"],
    ["-t bob -s x --xclient-name --proxy-version --port", "26\nname\n1\n"],
  ])("%s comes to the same", async (line = "", input = "secret\n") => {
    const argv = [...fixed, ...wordsOf(line), "--dump", "app,output,transport,protocol,xclient,proxy"];
    const { ours, theirs } = await both(argv, input);
    expect(ours).toEqual(theirs);
  });
});
