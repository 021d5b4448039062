import { createHash } from "node:crypto";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, stat, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { passwd, type Result } from "../../passwd/program.ts";
import { asRoot } from "../../tools/as-root.ts";

const md5 = "$1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/"; // correct horse
const bcrypt = "$2y$05$6gKfOJhm6Wm1ExJVUEvtouXhYGvqiq./2VSg0EiS9BSa08rPMrDvG"; // correct horse

describe("the password file", () => {
  let folder = "";
  let file = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-passwd-"));
    file = join(folder, "mail-passwords");
  });
  afterAll(() => rm(folder, { recursive: true }));

  const before = `# ours\nuser1:${md5}:1000:1000::/home/user1:/bin/sh\r\nUser2:!${md5}\nuser3:${bcrypt}\nuser1:${bcrypt}\n`;

  async function edit(argv: readonly string[], text = before): Promise<Result & { readonly text: string }> {
    await writeFile(file, text);
    const result = await passwd([...argv, "--file", file]);
    return { ...result, text: await readFile(file, "utf8") };
  }

  test("gets a new password in place: order, fields, comments and line ends stay, other passwords go", async () => {
    const { status, stdout, stderr, text } = await edit(["--set", "USER1", "-s", "PLAIN", "-p", "new"]);
    expect(text).toBe(
      `# ours\nuser1:{PLAIN}new:1000:1000::/home/user1:/bin/sh\r\nUser2:!${md5}\nuser3:${bcrypt}\n`,
    );
    expect([status, stdout]).toEqual([0, ""]);
    expect(stderr).toMatch(/USER1: replaced \(line 2, 5\) in /);
    expect(stderr).not.toContain("{PLAIN}");
  });

  test("warns that a new password does not let in whom an extra field suspends", async () => {
    const suspended = `user1:${md5}::::::nologin\n`;
    const { status, stderr, text } = await edit(["--set", "user1", "-s", "PLAIN", "-p", "new"], suspended);
    expect([status, text]).toEqual([0, "user1:{PLAIN}new::::::nologin\n"]);
    expect(stderr).toMatch(/user1 is still not let in: line 1: suspended by the extra field nologin/);
  });

  test("gets a new user at its end, on a line of its own", async () => {
    const { text } = await edit(["--set", "user4", "-s", "PLAIN", "-p", "new"], `user3:${bcrypt}`);
    expect(text).toBe(`user3:${bcrypt}\nuser4:{PLAIN}new\n`);
  });

  test("keeps its mode, its owner and a symbolic link to it, and gets another second of time", async () => {
    await writeFile(file, before);
    await chmod(file, 0o604);
    const old = await stat(file);
    const link = join(folder, "link");
    await symlink(file, link);
    expect(await passwd(["--set", "user1", "-s", "PLAIN", "-p", "new", "--file", link])).toMatchObject({
      status: 0,
    });
    const now = await stat(file);
    expect([now.mode & 0o777, now.uid, now.gid]).toEqual([0o604, old.uid, old.gid]);
    expect(Math.floor(now.mtimeMs / 1000)).not.toBe(Math.floor(old.mtimeMs / 1000));
    expect(await readFile(link, "utf8")).toContain("{PLAIN}new");
  });

  test("is made where it is not there, readable for its group", async () => {
    const fresh = join(folder, "fresh");
    expect(await passwd(["--set", "user1", "-s", "PLAIN", "-p", "new", "--file", fresh])).toMatchObject({
      status: 0,
    });
    expect(await readFile(fresh, "utf8")).toBe("user1:{PLAIN}new\n");
    expect((await stat(fresh)).mode & 0o777).toBe(0o640);
  });

  test.skipIf(!asRoot("give files away"))(
    "belongs to whom its folder belongs, where root makes it",
    async () => {
      const service = await mkdtemp(join(folder, "service-"));
      await chown(service, 12_345, 12_346);
      const fresh = join(service, "mail-passwords");
      expect(await passwd(["--set", "user1", "-s", "PLAIN", "-p", "new", "--file", fresh])).toMatchObject({
        status: 0,
      });
      const { uid, gid, mode } = await stat(fresh);
      expect([uid, gid, mode & 0o777]).toEqual([12_345, 12_346, 0o640]);
    },
  );

  test("is left alone when a line of it could not hold the hash", async () => {
    const { status, stderr, text } = await edit(["--set", "user1", "-s", "PLAIN", "-p", "a:b"]);
    expect([status, text]).toEqual([75, before]);
    expect(stderr).toMatch(/use -s PLAIN\.B64/);
  });

  test.each(["a:b", "a b", "#a", "", "a\nb"])("takes no login such as %j", async (login) => {
    const { status, text } = await edit(["--set", login, "-s", "PLAIN", "-p", "new"]);
    expect([status, text]).toEqual([64, before]);
  });

  test("loses every line of a user, and no other", async () => {
    const { status, text } = await edit(["--delete", "user1"]);
    expect([status, text]).toEqual([0, `# ours\nUser2:!${md5}\nuser3:${bcrypt}\n`]);
  });

  test("loses nobody who is not there", async () => {
    const { status, stderr, text } = await edit(["--delete", "user9"]);
    expect([status, text]).toEqual([75, before]);
    expect(stderr).toMatch(/there is no line for user9/);
  });

  test("warns when nobody is left", async () => {
    const { stderr } = await edit(["--delete", "user1"], `user1:${md5}\n`);
    expect(stderr).toMatch(/nobody is left/);
  });

  test.each([
    ["user1", "correct horse", 0, /^user1: let in \(line 2, MD5-CRYPT, 1000 rounds\)\n$/],
    ["USER3", "correct horse", 0, /^USER3: let in \(line 4, BLF-CRYPT, cost 5\)\n$/],
    ["user1", "wrong", 75, /^user1: not let in: wrong password\n$/],
    ["user2", "correct horse", 75, /^user2: not let in: line 3: locked\n$/],
    ["user9", "correct horse", 75, /^user9: not let in: no line\n$/],
  ])("is asked about %s with %j", async (user, password, status, stdout) => {
    const result = await edit(["--verify", user, "-p", password]);
    expect(result.status).toBe(status);
    expect(result.stdout).toMatch(stdout);
  });

  test("is described as a table of schemes, weak entries and useless lines, without a hash", async () => {
    const { status, stdout } = await edit(["--check"], `${before}user5:{SHA1}abc\n`);
    expect(status).toBe(0);
    expect(stdout).toContain("3 lines with a password, 2 that let nobody in");
    expect(stdout).toMatch(/^BLF-CRYPT {2}cost 5 {7}2 {7}no: cost 5 is quickly guessed$/m);
    expect(stdout).toMatch(/^ {2}line 2 {2}user1 {2}MD5-CRYPT, 1000 rounds$/m);
    expect(stdout).toMatch(/^ {2}line 3 {2}User2 {2}locked$/m);
    expect(stdout).toMatch(/^ {2}line 6 {2}user5 {2}neither hex nor base64$/m);
    expect(stdout).not.toMatch(/o8vJpPVD|6gKfOJhm/);
  });

  test("is described in JSON", async () => {
    const { stdout } = await edit(["--check", "--json"]);
    expect(JSON.parse(stdout)).toMatchObject({
      schemes: [
        { algorithm: "BLF-CRYPT", logins: 2 },
        { algorithm: "MD5-CRYPT", logins: 1 },
      ],
      shut: [{ line: 3, login: "User2", reason: "locked" }],
    });
  });

  test.each([
    ["an empty password", "", /^user1: not let in: empty password\n$/],
    ["one that is too long", "x".repeat(1025), /^user1: not let in: password too long\n$/],
  ])("agrees with the relay about %s, whatever its line says", async (_, password, stdout) => {
    const digest = createHash("sha1").update(password).digest("base64");
    const result = await edit(["--verify", "user1", "-p", password], `user1:{SHA}${digest}\n`);
    expect(result).toMatchObject({ status: 75, stderr: "" });
    expect(result.stdout).toMatch(stdout);
  });

  test("agrees with the relay about a password with a NUL", async () => {
    await writeFile(file, `user1:{PLAIN.B64}${Buffer.from("a\0b").toString("base64")}\n`);
    const result = await passwd(["--verify", "user1", "--stdin", "--file", file], "a\0b\n");
    expect(result).toMatchObject({ status: 75, stdout: "user1: not let in: password with a NUL\n" });
  });

  describe("of a relay", () => {
    let config = "";
    let spool = "";
    beforeAll(async () => {
      config = join(folder, "relay.toml");
      spool = join(folder, "spool");
      await mkdir(spool);
      await writeFile(
        config,
        `hostname = "submission.example.org"
domain = "example.org"
[passwords]
file = "${file}"
[spool]
directory = "${spool}"
`,
      );
      await writeFile(file, `user1:${md5}\nuser2@example.net:${md5}\n`);
    });
    const verify = (user: string, password: string, ...more: readonly string[]) =>
      passwd(["--verify", user, "-p", password, "-c", config, ...more]);
    const freeze = (text: string) => writeFile(join(spool, "frozen"), text);
    const frost = (login: string, reason: string) =>
      `${JSON.stringify({ login, at: Date.UTC(2026, 10, 22, 12), by: "root", reason })}\n`;

    test("knows who is frozen, and tells only who knows the password", async () => {
      await freeze(frost("user1", "sends \u001b[31mspam"));
      const why = "frozen since 2026-11-22T12:00:00.000Z by root: sends";
      for (const user of ["user1", "USER1@example.org"])
        expect(await verify(user, "correct horse")).toEqual({
          status: 75,
          stdout: `${user}: not let in: ${why} \\x1b[31mspam\n`,
          stderr: "",
        });
      const { status, stdout } = await verify("user1", "correct horse", "--json");
      expect({ status, ...JSON.parse(stdout) }).toEqual({
        status: 75,
        user: "user1",
        file,
        admitted: false,
        reason: `${why} \u001b[31mspam`,
      });
      expect((await verify("user1", "wrong")).stdout).toBe("user1: not let in: wrong password\n");
    });

    test("lets in who is not frozen, or is so no longer", async () => {
      await freeze(frost("user2", ""));
      expect(await verify("user1", "correct horse")).toMatchObject({ status: 0, stderr: "" });
      await rm(join(spool, "frozen"));
      expect(await verify("user1", "correct horse")).toMatchObject({ status: 0, stderr: "" });
    });

    test("warns where nobody can tell who is frozen", async () => {
      await freeze("user1\n");
      const { status, stdout, stderr } = await verify("user1", "correct horse");
      expect([status, stdout]).toEqual([0, "user1: let in (line 1, MD5-CRYPT, 1000 rounds)\n"]);
      expect(stderr).toMatch(
        /^tpa-submit passwd: warning: nobody can tell whether user1 is frozen: \S+\/frozen:1: expected JSON; .*\n$/,
      );
    });

    test("warns that a new password does not let in who is frozen", async () => {
      await freeze(frost("user2", "stolen\u001b[31m"));
      const text = await readFile(file, "utf8");
      try {
        const { status, stderr } = await passwd(["--set", "user2", "-s", "PLAIN", "-p", "new", "-c", config]);
        expect(status).toBe(0);
        expect(stderr).toContain(
          "warning: user2 is still not let in: frozen since 2026-11-22T12:00:00.000Z by root: stolen\\x1b[31m\n",
        );
        const other = await passwd(["--set", "user1", "-s", "PLAIN", "-p", "new", "-c", config]);
        expect(other.stderr).not.toContain("still not let in");
      } finally {
        await writeFile(file, text);
      }
    });

    test("does not look for frozen logins where only the file is named", async () => {
      await freeze(frost("user1", ""));
      expect(await passwd(["--verify", "user1", "-p", "correct horse", "--file", file])).toMatchObject({
        status: 0,
        stderr: "",
      });
    });

    test("lets nobody in of another domain", async () => {
      expect(await verify("user2@example.net", "correct horse")).toMatchObject({
        status: 75,
        stdout: "user2@example.net: not let in: the login is of another domain\n",
      });
    });
  });

  test("comes from the configuration where no other is named", async () => {
    const config = join(folder, "tpa-submit.toml");
    await writeFile(file, `user1:${md5}\n`);
    await writeFile(
      config,
      `hostname = "submission.example.org"\ndomain = "example.org"\n[passwords]\nfile = "${file}"\n`,
    );
    const result = await passwd(["--verify", "user1@example.org", "-p", "correct horse", "--config", config]);
    expect(result).toMatchObject({ status: 0, stderr: "" });
  });
});
