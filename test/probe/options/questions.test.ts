/** What is asked for, where, in which order, and what an answer must be. */
import { describe, expect, test } from "vitest";
import { planned, printed, type } from "./command-line.ts";

describe("questions", () => {
  test("come in swaks' order, on standard output, answered by lines", async () => {
    const names =
      "proxy-dest xclient-addr body data timeout local-port local-interface port server helo from to cc bcc";
    const line = names.replaceAll(/(^| )/g, "$1--");
    const input = "mx\nf\n192.0.2.1\n9\nme\n26\nt\nc\nb\n5\nhello\n\nx\nd\n";
    const { outcome, prompts } = await type(line, { input });
    expect(prompts).toBe(
      "Server: From: Interface: Local Port: Helo: Port: To: Cc: Bcc: Timeout: Body: Data: XCLIENT addr: PROXY dest: ",
    );
    expect(outcome).toMatchObject({ kind: "mistake", status: 35 }); // the rest of PROXY is not there
  });

  test.each([
    ["--timeout", "\nsoon\n5s\n", "Timeout: Timeout: Timeout: "],
    ["--port", "\n!\nsmtp\n", "Port: Port: Port: "],
    ["--to", "\nbob\n", "To: To: "],
    ["--proxy-version", "0\n3\n2\n", "PROXY version: PROXY version: PROXY version: "],
  ])("%s is asked again until the answer fits", async (line, input, expected) => {
    const { prompts, outcome } = await type(`-s x -t bob ${line}`, { input });
    expect(prompts).toBe(expected);
    expect(outcome.kind).toBe("run");
  });

  test("an empty answer stands for the default", async () => {
    const text = await printed("-t bob@example.org -s --from --helo --dump transport,protocol", {
      input: "\n\n\n",
    });
    expect(text).toContain("server          = mx.example.org\n");
    expect(text).toContain("helo            = host.example.org\n");
    expect(text).toContain("from            = alice@host.example.org\n");
  });

  test("recipients are asked for where they are needed, and the answers may end in CRLF", async () => {
    expect(await planned("-s x", { input: "bob,carol\r\n" })).toMatchObject({
      protocol: { to: ["bob", "carol"] },
    });
    expect(await planned("-s x -q mail")).toMatchObject({ protocol: { to: [] } });
  });

  test("standard input serves all who ask for it, behind the answers", async () => {
    const { octets } =
      (await planned("-s x --to -d - --body -", { input: "bob\nA: b\n\nmessage\n" })).data ?? {};
    expect(Buffer.from(octets ?? "").toString()).toContain("A: b\r\n\r\nmessage\r\n");
  });
});

describe("a password", () => {
  const s = "-t bob@example.org -s x -au u";

  test.each([
    ["-ap p", {}, "p"],
    ["-ap=-p", {}, "-p"],
    ["-ap '<>'", {}, ""],
    ["", { environment: { SWAKS_OPT_auth_password: "-p" } }, "-p"],
    ["", { environment: { TPA_SUBMIT_PROBE_PASSWORD: "variable" } }, "variable"],
    ["-ap p", { environment: { TPA_SUBMIT_PROBE_PASSWORD: "variable" } }, "p"],
    ["--auth-password-file f", { files: { f: "from file\nsecond line\n" } }, "from file"],
    ["--auth-password-file -", { input: "from input\n" }, "from input"],
    ["--config rc", { files: { rc: "auth-password  two words" } }, " two words"],
    ["", { netrc: "machine x login u password netrc" }, "netrc"],
    ["", { netrc: "machine x login other password no\ndefault login u password yes" }, "yes"],
    ["", { input: "typed\n" }, "typed"],
    ["-ap", { input: "typed\n", environment: { TPA_SUBMIT_PROBE_PASSWORD: "variable" } }, "typed"],
  ])("%s %o", async (line, given, expected) => {
    expect((await planned(`${s} ${line}`, given)).auth).toMatchObject({ user: "u", password: expected });
  });

  test("is asked for on a terminal without being shown, with -pp and without", async () => {
    for (const line of ["-ap", "-ap -pp"]) {
      const seen = await type(`${s} ${line}`, { terminal: true, typed: "secret" });
      expect(seen.secrets).toEqual(["Password: "]);
      expect(seen.prompts).toBe("");
      expect(seen.outcome).toMatchObject({ kind: "run", plan: { auth: { password: "secret" } } });
    }
  });

  test("is asked for on the terminal where standard input is the message", async () => {
    const seen = await type(`${s} -d - -ap`, { input: "A: b\n\nc\n", typed: "secret" });
    expect(seen.secrets).toEqual(["Password: "]);
    expect(seen.outcome).toMatchObject({ kind: "run", plan: { auth: { password: "secret" } } });
  });

  test("is not asked for where no mechanism takes one", async () => {
    expect((await planned("-t bob -s x -a EXTERNAL")).auth).toMatchObject({ user: "", password: "" });
  });
});

test("a user comes from .netrc by the server's name, also where it is found by the domain", async () => {
  const netrc = 'machine mx.example.org\n\tlogin \'u\' password "two \\"words"\n';
  expect((await planned("-t bob@example.org -a", { netrc })).auth).toMatchObject({
    user: "'u'",
    password: 'two "words',
  });
});
