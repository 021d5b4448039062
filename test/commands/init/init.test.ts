/** `tpa-submit init`, run as a person or a script would. */
import { existsSync } from "node:fs";
import { chmod, chown, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { program } from "../../../demo/relay.mjs";
import { asRoot } from "../../tools/as-root.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type Ended, run, runWell, start } from "../../tools/child.mjs";
import { freePort } from "../../tools/port.mjs";
import { onTerminal } from "../../tools/terminal.ts";
import { until } from "../../tools/until.ts";

let folder: string;
let config: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-init-"));
  await chmod(folder, 0o755);
  config = join(folder, "etc/tpa-submit.toml");
  const { cert, key } = selfSigned(["submission.example.org"], 200);
  await writeFile(join(folder, "chain.pem"), cert);
  await writeFile(join(folder, "key.pem"), key, { mode: 0o600 });
});
afterEach(() => rm(folder, { recursive: true }));

const isRoot = process.geteuid?.() === 0;

/** All that cannot be guessed, and no folder outside of the test's. */
const given = (): readonly string[] => [
  ...["--config", config, "--hostname", "submission.example.org", "--domain", "example.org"],
  ...["--certificate", join(folder, "chain.pem"), "--key", join(folder, "key.pem")],
  ...["--passwords", join(folder, "lib/mail-passwords"), "--spool", join(folder, "spool")],
  ...["--user", "root", "--offline"],
];

const init = (...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, "init", ...given(), ...words]);

const text = (): Promise<string> => readFile(config, "utf8");

describe("init on a bare host", () => {
  test("shows what it would make, and makes nothing where there is nobody to ask", async () => {
    const { status, stdout, stderr } = await init("--login", "user1");
    expect(stderr).toBe("tpa-submit init: there is no terminal to ask on; say --yes to do it\n");
    expect(status).toBe(64);
    expect(stdout).toContain(`make the folder ${folder}/etc, mode 0755, of `);
    expect(stdout).toContain(`make the folder ${folder}/spool, mode 0700, of `);
    expect(stdout).toMatch(/^ +\d+ \+ hostname = "submission\.example\.org"$/m);
    expect(stdout).toContain(`make the login user1 in ${folder}/lib/mail-passwords\n`);
    expect(existsSync(join(folder, "etc"))).toBe(false);
    expect((await init("--login", "user1", "--dry-run")).status).toBe(0);
    expect(existsSync(join(folder, "etc"))).toBe(false);
  });

  test("makes a relay that starts, and prints the records and what is next", async () => {
    const { status, stdout, stderr } = await init("--login", "user1", "--yes");
    expect(status).toBe(0);
    const password = /the password of user1, shown only now: (\S+)\n/.exec(stderr)?.[1] ?? "";
    expect(password).not.toBe("");
    expect(stdout).not.toContain(password);
    expect(stdout).not.toMatch(/^FAILED {3}(?!ports)/m);
    expect(stdout).toMatch(/^submission\.example\.org\. {2}IN A {2}\S+$/m);
    expect(stdout).toMatch(
      /^_submissions\._tcp\.example\.org\. {2}IN SRV {2}0 1 465 submission\.example\.org\.$/m,
    );
    expect(stdout).toMatch(/^example\.org\. {2}IN TXT {2}"v=spf1 ip4:/m);
    const next = stdout.split("\nNext:\n\n")[1]?.trimEnd().split("\n");
    expect(next).toEqual([
      `  tpa-submit check --config ${config}`,
      `  tpa-submit serve --config ${config}`,
      "  tpa-submit probe checkup submission.example.org --domain example.org --login user1",
    ]);

    const port = await freePort();
    const doors = `[listen]\nsubmission = ["127.0.0.1:${port}"]\nsubmissions = []\nhttp = ""`;
    await writeFile(config, (await text()).replace("[listen]", doors));
    const relay = start(process.execPath, [program, "serve", "--config", config]);
    try {
      await until("the start", () => /started as submission\.example\.org/.test(relay.output()) || undefined);
      const words = ["probe", "--server", `127.0.0.1:${port}`, "-tls", "-au", "user1", "-ap", password];
      const probe = await run(process.execPath, [program, ...words, "--quit-after", "AUTH"]);
      expect(probe.stdout).toMatch(/^<~ {2}235 /m);
    } finally {
      await relay.stop();
    }
  });

  test("finds nothing to change when it is run again, and touches nothing", async () => {
    await init("--login", "user1", "--yes");
    const before = await stat(config, { bigint: true });
    const logins = await readFile(join(folder, "lib/mail-passwords"), "utf8");
    const { status, stdout, stderr } = await init("--login", "user1");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toContain(`${config}: nothing to change\n`);
    expect((await stat(config, { bigint: true })).mtimeNs).toBe(before.mtimeNs);
    expect(await readFile(join(folder, "lib/mail-passwords"), "utf8")).toBe(logins);
  });

  test("sets up logins from a directory", async () => {
    const { status, stdout } = await init(
      "--ldap",
      "ldaps://db.example.org",
      "--base",
      "dc=example,dc=org",
      "--yes",
    );
    expect(status).toBe(0);
    expect(stdout).toMatch(/FAILED {3}passwords {4}.*nobody could log in.*\n +-> tpa-submit sync brings it/);
    expect(stdout).toContain(`\n  tpa-submit sync --config ${config}\n  tpa-submit serve `);
    expect(await text()).toMatch(/^url = "ldaps:\/\/db\.example\.org"\n/m);
    expect(await text()).toMatch(/^base = "dc=example,dc=org"\n/m);
  });

  describe("with passwords of its own", () => {
    const directory = ["--ldap", "ldaps://db.example.org", "--base", "dc=example,dc=org"] as const;
    const secret = "Kaffee-um-4";
    const bind = (): readonly string[] => [
      ...directory,
      ...["--bind-dn", "uid=sync,dc=example,dc=org", "--bind-password-file", join(folder, "given")],
      ...["--relay", "smtps://relay.example.org:465"],
      ...["--relay-user", "relay1", "--relay-password-file", join(folder, "given")],
    ];
    const mode = async (name: string): Promise<number> =>
      (await stat(join(folder, "etc", name))).mode & 0o777;
    beforeEach(() => writeFile(join(folder, "given"), `${secret}\n`, { mode: 0o600 }));

    test("keeps them in files that the service alone reads, and shows none", async () => {
      const dry = await init(...bind(), "--dry-run");
      expect(existsSync(join(folder, "etc"))).toBe(false);
      const done = await init(...bind(), "--yes");
      expect([dry.status, done.status]).toEqual([0, 0]);
      for (const { stdout, stderr } of [dry, done]) {
        expect(stdout + stderr).not.toContain(secret);
        expect(stdout).toContain(`make ${folder}/etc/ldap-password, mode 0600, of `);
        expect(stdout).toMatch(/^ +\d+ \+ bind-dn = "uid=sync,dc=example,dc=org"$/m);
        expect(stdout).toMatch(/^ +\d+ \+ relay-user = "relay1"$/m);
      }
      for (const name of ["ldap-password", "relay-password"]) {
        expect(await readFile(join(folder, "etc", name), "utf8")).toBe(`${secret}\n`);
        expect(await mode(name)).toBe(0o600);
      }
      expect(await text()).not.toContain(secret);
      expect(await text()).toContain(`\nbind-password-file = "${folder}/etc/ldap-password"\n`);
      expect(await text()).toContain(`\nrelay-password-file = "${folder}/etc/relay-password"\n`);
    });

    test("finds nothing to change afterwards, and takes another one when it is given", async () => {
      await init(...bind(), "--yes");
      expect((await init(...bind())).stdout).toContain(`${config}: nothing to change\n`);
      expect((await init(...directory)).stdout).toContain(`${config}: nothing to change\n`);
      await writeFile(join(folder, "given"), "Tee-um-5\n");
      const changed = await init(...bind(), "--yes");
      expect(changed.stdout).toContain(
        `put another password into ${folder}/etc/ldap-password, mode 0600, of `,
      );
      expect(changed.stdout).not.toContain(`change ${config}`);
      expect(await readFile(join(folder, "etc/ldap-password"), "utf8")).toBe("Tee-um-5\n");
    });

    test.each([
      [["--bind-dn", "uid=sync"], 64, /--bind-dn needs --bind-password-file where nobody can be asked/],
      [["--bind-password-file", "given"], 64, /--bind-password-file needs --bind-dn/],
      [["--bind-dn", "uid=sync", "--bind-password-file", "none"], 66, /--bind-password-file: .*none/],
      [["--bind-dn", "uid=sync", "--bind-password-file", "two"], 65, /two: expected one line, the password/],
    ])("refuses %j", async (words, expected, says) => {
      await writeFile(join(folder, "two"), "one\ntwo\n");
      const paths = words.map((word) => (/^[gnt]/.test(word) ? join(folder, word) : word));
      const { status, stderr } = await init("--yes", ...directory, ...paths);
      expect(stderr).toMatch(says);
      expect(status).toBe(expected);
      expect(existsSync(config)).toBe(false);
    });

    test.skipIf(!asRoot("make files for another user"))("gives them to the service's user", async () => {
      const uid = Number(await runWell("id", ["-u", "nobody"]));
      expect((await init("--user", "nobody", ...bind(), "--yes")).status).toBe(0);
      const { uid: owner, gid } = await stat(join(folder, "etc/ldap-password"));
      expect([owner, gid]).toEqual([uid, Number(await runWell("id", ["-g", "nobody"]))]);
    });
  });

  test.each([
    [["--relay", "nonsense"], /^tpa-submit init: --relay: expected "mx", .*found "nonsense"; see /],
    [["--hostname", "no spaces"], /--hostname: expected a host name/],
    [["--login", "a:b"], /--login: expected a login/],
    [["--ldap", "ldaps://db.example.org"], /--ldap needs --base/],
    [["--hostname", "nodots"], /hostname: expected a full name such as submission\.example\.org/],
  ])("refuses %j", async (words, says) => {
    const { status, stderr } = await init("--yes", ...words);
    expect(stderr).toMatch(says);
    expect(status).toBe(words[1] === "nodots" ? 78 : 64);
    expect(existsSync(config)).toBe(false);
  });

  test.skipIf(!asRoot("make folders for another user"))(
    "gives folders and files to the service's user",
    async () => {
      const uid = Number(await runWell("id", ["-u", "nobody"]));
      await chown(join(folder, "key.pem"), uid, 0);
      const { status, stdout } = await init("--user", "nobody", "--login", "user1", "--yes");
      expect(status).toBe(0);
      expect(stdout).not.toMatch(/^FAILED {3}(?!ports|program)/m);
      const owner = async (name: string): Promise<readonly number[]> => {
        const { uid: own, mode } = await stat(join(folder, name));
        return [own, mode & 0o777];
      };
      expect(await owner("spool")).toEqual([uid, 0o700]);
      expect(await owner("lib")).toEqual([uid, 0o750]);
      expect(await owner("lib/mail-passwords")).toEqual([uid, 0o640]);
      expect(await owner("etc/tpa-submit.toml")).toEqual([0, 0o644]);
      expect(await text()).toMatch(/^user = "nobody"$/m);
      const unknown = await init("--user", "no-such-user", "--yes");
      expect([unknown.status, unknown.stderr]).toEqual([
        78,
        "tpa-submit init: there is no user no-such-user (--user); systemd-sysusers or adduser makes it\n",
      ]);
    },
  );
});

describe("init and a configuration that is there", () => {
  const mine = `# Mine: ask Ann before you change anything.
hostname = "old.example.org" # until June
domain = "example.org"
${isRoot ? 'user = "root"\n' : ""}
[limits] # generous
recipients = 500
`;
  beforeEach(async () => {
    config = join(folder, "tpa-submit.toml");
    await writeFile(config, mine, { mode: 0o640 });
  });

  test("changes what is given, shows it, and keeps every other line, comments and mode", async () => {
    const { status, stdout } = await init("--relay", "smtps://relay.example.org:465", "--yes");
    expect(status).toBe(0);
    expect(stdout).toMatch(/^ {4}2 - hostname = "old\.example\.org" # until June$/m);
    expect(stdout).toMatch(/^ {4}2 \+ hostname = "submission\.example\.org" # until June$/m);
    const now = await text();
    expect(now.startsWith(mine.replace("old.", "submission."))).toBe(true);
    expect(now).toMatch(/\n\[delivery\]\nrelay = "smtps:\/\/relay\.example\.org:465"\n/);
    expect((await stat(config)).mode & 0o777).toBe(0o640);
  });

  test("leaves it alone where it has mistakes of its own", async () => {
    await writeFile(config, `${mine}\n[spol]\n`);
    const { status, stderr } = await init("--yes");
    expect(stderr).toMatch(/^tpa-submit init: \S+tpa-submit\.toml:\d+: spol: /);
    expect(status).toBe(78);
    expect(await text()).toBe(`${mine}\n[spol]\n`);
  });
});

describe("init at a terminal", () => {
  const words = (): string =>
    [
      ...[
        "init",
        "--config",
        config,
        "--certificate",
        join(folder, "chain.pem"),
        "--key",
        join(folder, "key.pem"),
      ],
      ...["--passwords", join(folder, "lib/mail-passwords"), "--spool", join(folder, "spool")],
      ...["--user", "root", "--offline"],
    ].join(" ");

  const answers = (last: string) =>
    [
      ["Name of this host", "\u0015submission.example.org\r"],
      ["Mail domain: user1 will be user1@ [example.org]: ", "\r"],
      ["Directory that logins come from", "\r"],
      ["A first login", "a b\r"],
      ["expected a login", "user1\r"],
      ["Where mail leaves to", "mx\r"],
      ["Do this?", last],
    ] as const;

  test("asks for what no option says, again where the answer is wrong, and does it at a yes", async () => {
    const { shown, status } = await onTerminal(words(), answers("y\r"));
    expect(status).toBe(0);
    expect(shown).toMatch(/the password of user1, shown only now/);
    expect(await text()).toMatch(/^hostname = "submission\.example\.org"$/m);
    expect(await text()).not.toMatch(/^relay = /m); // it is the default
  });

  test("asks for the directory's password without showing it", async () => {
    const { shown, status } = await onTerminal(words(), [
      ["Name of this host", "\u0015submission.example.org\r"],
      ["Mail domain", "\r"],
      ["Directory that logins come from", "ldaps://db.example.org\r"],
      ["Where the accounts are", "dc=example,dc=org\r"],
      ["Whom to log in as there", "uid=sync,dc=example,dc=org\r"],
      ["Where mail leaves to", "mx\r"],
      ["Password of uid=sync,dc=example,dc=org: ", "Kaffee-um-4\r"],
      ["Do this?", "y\r"],
    ]);
    expect(status).toBe(0);
    expect(shown).not.toContain("Kaffee");
    expect(await readFile(join(folder, "etc/ldap-password"), "utf8")).toBe("Kaffee-um-4\n");
    expect((await stat(join(folder, "etc/ldap-password"))).mode & 0o777).toBe(0o600);
  });

  test("does nothing at a no", async () => {
    const { shown, status } = await onTerminal(words(), answers("n\r"));
    expect(shown).toMatch(/nothing is changed\n$/);
    expect(status).toBe(75);
    expect(existsSync(config)).toBe(false);
  });
});
