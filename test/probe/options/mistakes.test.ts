/** What cannot be: swaks' words and its status, on one line, and no question without an end. */
import { describe, expect, test } from "vitest";
import { type } from "./command-line.ts";

const s = "-t bob@example.org -s x";
const login = `${s} -au u -ap p`;
const proxy = "--proxy-family TCP4 --proxy-source 192.0.2.7 --proxy-source-port 1 --proxy-dest 192.0.2.25";

describe("a mistake", () => {
  test.each([
    ["--server x --pipe y -t bob@example.org", "1 *** Multiple transport types specified, exiting"],
    [`${s} -4 -6`, "1 *** Options -4 and -6 are mutually exclusive, cannot proceed"],
    ["-t bob -s ::1 -4", "1 *** Option -4 is set but server appears to be ipv6, cannot proceed"],
    ["-t bob -s 192.0.2.1 -6", "1 *** Option -6 is set but server appears to be ipv4, cannot proceed"],
    [`${s} -li ::1 -4`, "1 *** Option -4 is set but local-interface appears to be ipv6, cannot proceed"],
    ["-t bob -s ::1 -li 192.0.2.1", "1 *** server is ipv6 but local-interface is ipv4, cannot proceed"],
    [`${s} -p nonsense`, "1 *** unable to resolve service name nonsense into a port, exiting"],
    [`${s} -lp nonsense`, "1 *** unable to resolve service name nonsense into a port, exiting"],
    [`${s} -p 99999`, "1 *** there is no port 99999, exiting"],
    [
      "-t bob --copy-routing",
      "1 *** Option processing error: option copy-routing specified with no argument",
    ],
    [
      `${s} --via ftp://x`,
      "1 *** --via: expected socks5h://HOST:PORT, socks5://HOST:PORT or http://HOST:PORT, exiting",
    ],
    [`${s} --protocol uucp`, "1 *** Unknown protocol uucp specified, exiting"],
    [`${s} --timeout 5x`, "1 *** Unknown timeout format '5x'"],
    [`${s} --quit-after bogus`, "1 *** Unknown quit_after value bogus, exiting"],
    [`${s} --quit-after dot`, "1 *** Unknown quit_after value dot, exiting"],
    [`${s} --drop-after bogus`, "1 *** Unknown drop_after value bogus, exiting"],
    [`${s} --drop-after-send bogus`, "1 *** Unknown drop_after_send value bogus, exiting"],
    [`${s} --quit-after ''`, "1 *** Option processing error: option quit-after specified with no argument"],
    [`${s} --chunk none`, "1 *** --chunk: expected a whole number of at least 1, found 'none', exiting"],
    [`${s} --messages 0`, "1 *** --messages: expected a whole number of at least 1, found '0', exiting"],
    [`${s} -stl x`, "1 *** Unknown argument 'x' to option show-time-lapse, exiting"],
    [`${s} --output /nowhere/x`, "1 *** Unable to open /nowhere/x for writing"],
    [`${s} -tls --tls-cert x`, "1 *** --tls-cert and --tls-key require each other.  Exiting"],
    [`${s} -tls --tls-key x`, "1 *** --tls-cert and --tls-key require each other.  Exiting"],
    [`${s} -tls --tls-chain x`, "1 *** --tls-chain requires both --tls-cert and --tls-key.  Exiting"],
    [
      `${s} -tls --tls-ca-path /none`,
      "1 *** --tls-ca-path: /none is not a valid file or directory.  Exiting.",
    ],
    [`${s} -tls -tlsp tlsv1_2,no_tlsv1`, "1 *** cannot mix X and no_X forms in --tls-protocol option"],
    [`${s} -tls -tlsp tlsv9`, "1 *** no valid arguments provided to --tls-protocol, exiting"],
    [`${s} -tls -tlsp ''`, "1 *** Option processing error: option tls-protocol specified with no argument"],
    [`${s} -tls --tls-cert none --tls-key none`, "29 *** none could not be read (No such file or directory)"],
    [`${login} --auth-map x`, "1 *** Unknown auth-map format 'x'"],
    [`${login} --auth-extra x`, "1 *** Unknown auth-extra format 'x'"],
    [`${login} --auth FOO`, "10 *** No auth types supported"],
    [
      `${login} --auth-password-file none`,
      "1 *** Option processing error: file none not openable for option auth-password-file (No such file or directory)",
    ],
    [
      `${s} --body @none`,
      "1 *** Option processing error: file none not openable for option body (No such file or directory)",
    ],
    [
      `${s} --attach @none`,
      "1 *** Option processing error: file none not openable for option attach (No such file or directory)",
    ],
    [`${s} --attach`, "1 *** Option processing error: option attach specified with no argument"],
    [`${s} --attach-type`, "1 *** Option processing error: option attach-type specified with no argument"],
    [`${s} --header`, "1 *** Option processing error: option header specified with no argument"],
    [`${s} --add-header`, "1 *** Option processing error: option add-header specified with no argument"],
    [`${s} --proxy-version 3`, "35 *** Invalid argument to --proxy: 3 is not a legal proxy version"],
    [`${s} --proxy x --proxy-family TCP4`, "35 *** Can't mix --proxy option with other --proxy-* options"],
    [`${s} ${proxy}`, "35 *** Incomplete set of --proxy-* options (missing dest_port)"],
    [
      `${s} --proxy-command LOCAL`,
      "35 *** Incomplete set of --proxy-* options (missing family, source, source_port, dest, dest_port)",
    ],
    [
      `${s} ${proxy} --proxy-dest-port 1 --proxy-family AF_INET`,
      "35 *** unknown --proxy-family argument AF_INET for version 1",
    ],
    [`${s} ${proxy} --proxy-dest-port 1 --proxy-protocol X`, "35 *** unknown --proxy-protocol argument X"],
    [`${s} ${proxy} --proxy-dest-port 1 --proxy-command X`, "35 *** unknown --proxy-command argument X"],
    ["--completion tcsh", "1 *** --completion: expected bash, zsh or fish, found 'tcsh', exiting"],
  ])("%s", async (line, expected) => {
    const { outcome } = await type(line);
    expect(outcome.kind === "mistake" ? `${outcome.status} ${outcome.text}` : outcome.kind).toBe(expected);
  });

  test.each(["--hide-all", "--silent 3"])("is not told with %s, but for its status", async (quiet) => {
    const { outcome } = await type(`${s} ${quiet} --protocol uucp`);
    expect(outcome).toMatchObject({ kind: "mistake", status: 1, text: "" });
  });

  test("goes where --output says", async () => {
    const { outcome, created } = await type(`${s} --output log --output-file-stdout &STDOUT --protocol uucp`);
    expect(outcome.places).toEqual({ stdout: "&STDOUT", stderr: "log" });
    expect(created).toEqual(["log"]);
  });
});

describe("a warning", () => {
  test.each([
    [`${login} -a FOO,PLAIN`, ["*** FOO is not a recognized auth type, skipping"]],
    [`${login} -ao FOO`, ["*** FOO is not a recognized auth type, skipping", "*** No auth types supported"]],
    [`${s} -tls -tlsp sslv3,tlsv1_3`, ["*** sslv3 in --tls-protocol is not a known/supported protocol"]],
    [
      `${s} --trigger-deprecation x`,
      [
        "*** DEPRECATION WARNING: Option --trigger-deprecation will be removed in the future.  Please see documentation for more information.",
      ],
    ],
  ])("%s", async (line, expected) => {
    const { outcome } = await type(line);
    expect(outcome.kind).toBe("run");
    expect(outcome.warnings).toEqual(expected);
  });

  test("says on a terminal that ps shows a password on the command line", async () => {
    const warnings = async (line: string, given = {}) => (await type(line, given)).outcome.warnings;
    const expected = [
      "=== While this runs, ps shows the password: type it (-ap alone), or use --auth-password-file",
    ];
    expect(await warnings(login, { terminal: true })).toEqual(expected);
    expect(await warnings(login)).toEqual([]);
    expect(await warnings(`${login} --silent 3`, { terminal: true })).toEqual([]);
    const environment = { SWAKS_OPT_auth_password: "p" };
    expect(await warnings(`${s} -au u`, { terminal: true, environment })).toEqual([]);
  });
});

describe("standard input that has ended", () => {
  test.each([
    ["", "To: "],
    ["-q rcpt", "To: "],
    ["--to", "To: "],
    [`${s} --server`, "Server: "],
    [`${s} --body`, "Body: "],
    [`${s} --xclient-addr`, "XCLIENT addr: "],
    [`${s} --xclient ''`, "XCLIENT string: "],
    [`${s} --proxy-version`, "PROXY version: "],
    [`${s} -a`, "Username: "],
    [`${s} -au u`, "Password: "],
    ["--to -q connect", "To: "],
  ])("ends %s with an error, asked once", async (line, question) => {
    const { outcome, prompts } = await type(line.replace(" -s x --server", " --server"));
    expect(prompts).toBe(question);
    expect(outcome).toMatchObject({
      kind: "mistake",
      status: 1,
      text: `*** ${question.slice(0, -2)}: standard input has ended without an answer; give it as an option`,
    });
  });
});
