import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { program } from "../../../demo/program.mjs";
import { hashes } from "../../ldap/cases.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd } from "../../ldap/slapd.ts";
import { real } from "../../tools/real.ts";

const { md5, blf } = hashes;

describe.skipIf(!real(...slapdPrograms))("tpa-submit sync", () => {
  let folder: string;
  let file: string;
  let slapd: Slapd;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "command-"));
    file = join(folder, "mail-passwords");
    const entries = [
      person("user1", `mailPassword: ${md5}\nmailAlias: press@example.org`),
      person("user2", `mailPassword: ${blf}`),
      person("user3", `mailPassword: ${md5}\naccountStatus: inactive`),
      person("user4", `mailPassword: ${md5}`, "locked"),
      person("user5", `mailPassword: ${md5}\nmailPassword: ${blf}`),
    ];
    slapd = await startSlapd({ entries: entries.join("") });
    await writeFile(join(folder, "password"), reader.password);
  });
  beforeEach(async () => {
    await writeFile(file, `user1:${blf}\nuser3:${md5}\nuser5:${md5}\nuser9:${md5}\n`);
  });
  afterAll(async () => {
    await slapd?.remove();
    await rm(folder, { recursive: true });
  });

  /** Runs it, and holds every answer to the rule that no hash is ever printed. */
  async function sync(args: readonly string[], more = "", more2 = "") {
    await writeFile(
      join(folder, "tpa-submit.toml"),
      `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${file}"
${more2}
[ldap]
url = ["ldap://127.0.0.1:1", "${slapd.ldapi}"]
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${folder}/password"
${more}
`,
    );
    const before = await readFile(file, "utf8");
    const ended = await new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
      const child = execFile(
        process.execPath,
        [program, "sync", "-c", join(folder, "tpa-submit.toml"), ...args],
        (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
      );
    });
    expect(ended.stdout + ended.stderr).not.toMatch(/\$(1|2y)\$|test reader/);
    return { ...ended, replaced: (await readFile(file, "utf8")) !== before };
  }

  test("--dry-run tells who would come, change and go, and why, and writes nothing", async () => {
    const { status, stdout, stderr, replaced } = await sync(["--dry-run", "--allow-shrink"]);
    expect({ status, replaced }).toEqual({ status: 0, replaced: false });
    expect(stdout.split("\n")).toEqual([
      "+ user2: new: BLF-CRYPT",
      "~ user1: MD5-CRYPT for BLF-CRYPT",
      "~ user5: BLF-CRYPT beside MD5-CRYPT",
      "- user3: retired, the status is inactive",
      "- user9: absent, there is no entry that the filter finds",
      "",
    ]);
    expect(stderr).toBe(`${file} would be replaced: 3 logins, 1 added, 2 changed, 2 removed\n`);
  });

  test("--dry-run tells it although a guard will speak up", async () => {
    const { status, stdout, stderr } = await sync(["-n"]);
    expect(status).toBe(65);
    expect(stdout).toContain("- user9: absent");
    expect(stderr).toMatch(/^tpa-submit sync: \S+ stays as it is: 2 of 4 logins would go, .*\n$/);
  });

  test("--json tells all of it to a program", async () => {
    const { status, stdout, stderr, replaced } = await sync(["--json", "--allow-shrink"]);
    expect({ status, stderr: stderr.split("\n").length, replaced }).toEqual({
      status: 0,
      stderr: 2,
      replaced: true,
    });
    expect(JSON.parse(stdout)).toEqual({
      url: slapd.ldapi,
      entries: 5,
      logins: 3,
      schemes: { "BLF-CRYPT": 2, "MD5-CRYPT": 2 },
      excluded: [
        { login: "user3", dn: `uid=user3,${people}`, reason: "retired", detail: "the status is inactive" },
        { login: "user4", dn: `uid=user4,${people}`, reason: "locked", detail: "userPassword is locked" },
      ],
      remarks: [],
      passwords: {
        path: file,
        result: "replaced",
        added: [{ name: "user2", why: "new: BLF-CRYPT" }],
        changed: [
          { name: "user1", why: "MD5-CRYPT for BLF-CRYPT" },
          { name: "user5", why: "BLF-CRYPT beside MD5-CRYPT" },
        ],
        removed: [
          { name: "user3", reason: "retired", why: "the status is inactive" },
          { name: "user9", reason: "absent", why: "there is no entry that the filter finds" },
        ],
        alarms: [],
      },
      aliases: null,
    });
  });

  test("--verbose names everybody who is left out", async () => {
    const { stderr } = await sync(["-v", "--allow-shrink"]);
    expect(stderr.split("\n").slice(0, 2)).toEqual([
      "left out: user3: retired, the status is inactive",
      "left out: user4: locked, userPassword is locked",
    ]);
  });

  test("--quiet says nothing when all is well", async () => {
    expect(await sync(["-q", "--allow-shrink"])).toMatchObject({ status: 0, stdout: "", stderr: "" });
  });

  test("keeps the file of sender addresses as well", async () => {
    const { stderr } = await sync(
      ["--allow-shrink"],
      'sender-attribute = "mailAlias"',
      `[senders]\naliases = "${folder}/aliases"`,
    );
    expect(stderr).toContain(`${folder}/aliases replaced: 1 added\n`);
    expect(await readFile(join(folder, "aliases"), "utf8")).toBe("press@example.org: user1\n");
  });

  test("--explain tells everything about one person", async () => {
    const { status, stdout, stderr } = await sync(["--explain", "user1@example.org"]);
    expect({ status, stderr }).toEqual({ status: 0, stderr: "" });
    expect(stdout).toMatch(/^entry uid=user1,ou=users,dc=example,dc=org, changed \d{4}-\d\d-\d\dT/);
    expect(stdout).toContain("  yes  a main password that is not locked\n");
    expect(stdout).toContain("  password: MD5-CRYPT, not in the file\n");
    expect(stdout).toContain("has user1: BLF-CRYPT\n");
    expect(stdout).toMatch(
      /The directory has another password than the file: the next sync brings it\..*\n$/,
    );
  });

  test("--explain tells what is in the way", async () => {
    const { stdout } = await sync(["--explain", "user3"]);
    expect(stdout).toContain("  NO   still with us (retired): the status is inactive\n");
    expect(stdout).toMatch(
      /\nLeft out \(retired\): the status is inactive; the next sync takes the login out of the file\.\n$/,
    );
  });

  test("--explain tells of one whom the filter does not want, and of one who is not there", async () => {
    const { stdout } = await sync(["--explain", "user1"], 'filter = "(&(uid=*)(!(uid=user1)))"');
    expect(stdout).toContain(
      "  NO   found by ldap.filter (filtered): there is an entry, but the filter does not want it\n",
    );
    expect((await sync(["--explain", "no*body"])).stdout).toMatch(
      /does not have no\*body\nThere is no entry with uid no\*body /,
    );
  });

  test("--explain --json tells it to a program", async () => {
    const { stdout } = await sync(["--explain", "user5", "--json"]);
    const told = JSON.parse(stdout);
    expect(told.entries[0].passwords).toEqual([
      { what: "MD5-CRYPT", inFile: true },
      { what: "BLF-CRYPT", inFile: false },
    ]);
    expect(told.file).toMatchObject({ path: file, listed: true, schemes: ["MD5-CRYPT"] });
  });

  test.each([
    ["--watch --once", /--watch and --once do not go together/],
    ["--watch -n", /--watch and --dry-run do not go together/],
    ["--watch --allow-shrink", /--watch and --allow-shrink do not go together/],
    ["--explain user1 -n", /--explain and --dry-run do not go together/],
    ["--allow-everything", /unknown option '--allow-everything'/],
  ])("%s is refused", async (args, message) => {
    const ended = await sync(args.split(" "));
    expect(ended).toMatchObject({ status: 64, stdout: "", replaced: false });
    expect(ended.stderr).toMatch(message);
  });

  test("a directory that is not set is a mistake in the configuration", async () => {
    const config = join(folder, "empty.toml");
    await writeFile(config, 'hostname = "mail.example.org"\ndomain = "example.org"\n');
    const { stderr, status } = await sync(["-c", config]);
    expect(status).toBe(78);
    expect(stderr).toBe(
      'tpa-submit sync: ldap.url: expected a directory such as "ldaps://db.example.org", found none\n',
    );
  });
});
