import { describe, expect, test } from "vitest";
import { printed, type } from "./command-line.ts";

/** What the options amount to, as a command line. */
async function commandLine(
  line: string,
  environment: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const text = await printed(`${line} --dump app`, { environment, files });
  return /Cmd Line = swaks (.*)/.exec(text)?.[1]?.replace(/ ?--dump 'app'/, "") ?? "";
}

async function mistake(
  line: string,
  environment: Readonly<Record<string, string>> = {},
  files: Readonly<Record<string, string>> = {},
): Promise<string> {
  const { outcome } = await type(line, { environment, files });
  return outcome.kind === "mistake" ? `${outcome.status} ${outcome.text}` : outcome.kind;
}

const always = "--to bob@example.org -s x";
const said = "--to 'bob@example.org' --server 'x'";

describe("a configuration file", () => {
  test.each([
    ["a name", "pipeline", `${said} --pipeline`],
    ["a name with a dash, or two", "-pipeline\n--prdr", `${said} --pipeline --prdr`],
    ["a value behind a blank", "helo two words", "--to 'bob@example.org' --helo 'two words' --server 'x'"],
    ["a value behind a tab", "helo\tname", "--to 'bob@example.org' --helo 'name' --server 'x'"],
    ["a value behind an equal sign", "helo=name", "--to 'bob@example.org' --helo 'name' --server 'x'"],
    ["blanks that belong to the value", "helo  name ", "--to 'bob@example.org' --helo ' name ' --server 'x'"],
    ["quotes as they stand", 'body "text"', `${said} --body '"text"'`],
    ["a value that begins with a dash", "tls-get-peer-cert -x", `${said} --tls-get-peer-cert '-x'`],
    ["comments, also behind blanks", "# one\n  # two\npipeline", `${said} --pipeline`],
    ["empty lines", "\n\npipeline\n\n", `${said} --pipeline`],
    ["line ends of DOS", "pipeline\r\nprdr\r\n", `${said} --pipeline --prdr`],
    ["a header of its own", "h-Subject: Hello", `${said} --header 'Subject: Hello'`],
    ["--no-NAME", "pipeline\nno-pipeline", said],
  ])("may hold %s", async (_, text, expected) => {
    const line = await commandLine(`${always} --config rc`, {}, { rc: text });
    expect(line).toBe(`--config 'rc' ${expected}`);
  });

  const files = {
    "/swaks/.swaksrc": "helo swaks",
    "/home/.swaksrc": "helo home",
    "/log/.swaksrc": "helo log",
    named: "helo named",
    other: "helo other\nconfig named",
  };
  const folders = { SWAKS_HOME: "/swaks", HOME: "/home", LOGDIR: "/log" };

  test.each([
    ["$SWAKS_HOME first", "", folders, "swaks"],
    ["then $HOME", "", { HOME: "/home", LOGDIR: "/log" }, "home"],
    ["then $LOGDIR", "", { HOME: "/empty", LOGDIR: "/log" }, "log"],
    ["--config instead of all", "--config named", folders, "named"],
    ["the last --config", "--config named --config other", folders, "other"],
    ["$SWAKS_OPT_config", "", { ...folders, SWAKS_OPT_config: "named" }, "named"],
    ["--config over the variable", "--config other", { ...folders, SWAKS_OPT_config: "named" }, "other"],
    ["none with --config alone", "--config", folders, "host.example.org"],
  ])("is looked for: %s", async (_, line, environment, expected) => {
    const text = await printed(`${line} ${always} --dump protocol`, { environment, files });
    expect(text).toContain(`helo            = ${expected}\n`);
  });
});

describe("the sources", () => {
  test("count in order: file, variables, command line", async () => {
    const files = { rc: "helo file\nfrom file@example.org\nport 1" };
    const environment = { SWAKS_OPT_helo: "variable", SWAKS_OPT_from: "variable@example.org" };
    expect(await commandLine(`${always} --config rc --helo line`, environment, files)).toBe(
      "--config 'rc' --from 'variable@example.org' --to 'bob@example.org' --helo 'line' --server 'x' --port '1'",
    );
  });

  test.each([
    ["underscores are dashes", { SWAKS_OPT_local_port: "9" }, `${said} --local-port '9'`],
    ["an empty one has no value", { SWAKS_OPT_show_time_lapse: "" }, `${said} --show-time-lapse`],
    ["<> is an empty value", { SWAKS_OPT_show_time_lapse: "<>" }, `${said} --show-time-lapse`],
    ["a header of its own", { SWAKS_OPT_h_X_Test: "1" }, `${said} --header 'X-Test: 1'`],
    [
      "a value that begins with a dash",
      { SWAKS_OPT_tls_get_peer_cert: "-x" },
      `${said} --tls-get-peer-cert '-x'`,
    ],
    ["sorted, so that no_ forgets 6", { SWAKS_OPT_6: "", SWAKS_OPT_no_6: "" }, said],
    ["other variables", { SWAKS_HOME: "/none", swaks_opt_helo: "x" }, said],
  ])("variables: %s", async (_, environment, expected) => {
    expect(await commandLine(always, environment)).toBe(expected);
  });

  test.each([
    ["--no-helo", "host.example.org"],
    ["--no-h", "host.example.org"],
    ["--no-helo --helo again", "again"],
  ])("%s forgets what file and variables said", async (line, helo) => {
    const given = { environment: { SWAKS_OPT_helo: "variable" }, files: { rc: "helo file" } };
    const text = await printed(`--config rc ${always} ${line} --dump protocol`, given);
    expect(text).toContain(`helo            = ${helo}\n`);
  });

  test.each([
    [
      "extra args",
      {},
      {},
      "1 *** Data left in option list when processing  command line ('extra', 'args').  Exiting",
    ],
    [
      "",
      { SWAKS_OPT_tls: "x" },
      {},
      "1 *** Data left in option list when processing  environment ('x').  Exiting",
    ],
    [
      "--config rc",
      {},
      { rc: "tls x" },
      "1 *** Data left in option list when processing  Config file rc ('x').  Exiting",
    ],
    ["", { SWAKS_OPT_FOO: "x" }, {}, "1 Unknown option: FOO"],
    ["--config rc", {}, { rc: "foo x" }, "1 Unknown option: foo"],
    ["", { SWAKS_OPT_tls_sni: "", SWAKS_OPT_to: "x" }, {}, "1 Option tls-sni requires an argument"],
    [
      "--config /nope",
      {},
      {},
      "1 *** Config file /nope could not be opened (No such file or directory).  Exiting",
    ],
  ])("%s %o %o is a mistake", async (line, environment, files, expected) => {
    expect(await mistake(line, environment, files)).toBe(expected);
  });
});
