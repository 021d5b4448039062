import { execFile, spawnSync } from "node:child_process";
import { lstat, mkdtemp, readdir, readFile, realpath, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program } from "../../demo/program.mjs";
import { passwd } from "../passwd/program.ts";
import { real } from "../tools/real.ts";
import { hashes } from "./cases.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd } from "./slapd.ts";

const { md5, blf } = hashes;

describe.skipIf(!real(...slapdPrograms))("sync beside others who write the files", () => {
  let folder: string;
  let file: string;
  let config: string;
  let slapd: Slapd;
  const listed = ["user1", "user2", "user3", "user4"];

  beforeAll(async () => {
    folder = await mkdtemp(join(await realpath(tmpdir()), "together-"));
    file = join(folder, "mail-passwords");
    config = join(folder, "tpa-submit.toml");
    const entries = listed.map((uid) =>
      person(uid, `mailPassword: ${md5}\nmailAlias: ${uid}.alias@example.org`),
    );
    slapd = await startSlapd({ entries: entries.join("") });
    await writeFile(join(folder, "password"), reader.password);
    await configure(file);
  });
  afterAll(async () => {
    await slapd?.remove();
    await rm(folder, { recursive: true });
  });

  const configure = (passwords: string) =>
    writeFile(
      config,
      `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${passwords}"
[senders]
aliases = "${folder}/aliases"
[ldap]
url = ["${slapd.ldapi}"]
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${folder}/password"
sender-attribute = "mailAlias"
`,
    );

  function sync(...args: readonly string[]) {
    return new Promise<{ status: number | null; stdout: string; stderr: string }>((resolve) => {
      const child = execFile(
        process.execPath,
        [program, "sync", "-c", config, "--allow-shrink", ...args],
        (_, stdout, stderr) => resolve({ status: child.exitCode, stdout, stderr }),
      );
    });
  }

  test("loses nothing that it or passwd told as done, eight at once", async () => {
    const coming = ["new1", "new2", "new3", "new4"];
    const leaving = ["old1", "old2"];
    for (let round = 0; round < 3; round += 1) {
      await writeFile(file, [...listed, ...leaving].map((name) => `${name}:${blf}\n`).join(""));
      const syncs = [sync("--json"), sync("--json")];
      const sets = coming.map((user) => passwd(["--set", user, "-s", "PLAIN", "-p", "new", "-c", config]));
      const deletes = leaving.map((user) => passwd(["--delete", user, "-c", config]));
      expect((await Promise.all([...syncs, ...sets])).map(({ status }) => status)).toEqual([
        0, 0, 0, 0, 0, 0,
      ]);
      await Promise.all(deletes); // one that comes after sync finds nobody to delete
      const removed = (await Promise.all(syncs)).flatMap(({ stdout }) => removedBy(stdout));
      const lines = (await readFile(file, "utf8")).split("\n").slice(0, -1);
      const expected = [
        ...listed.map((name) => `${name}:${md5}`),
        ...coming.filter((name) => !removed.includes(name)).map((name) => `${name}:{PLAIN}new`),
      ];
      expect(lines.toSorted()).toEqual(expected.toSorted());
    }
    expect((await readdir(folder)).filter((name) => name.endsWith(".new"))).toEqual([]);
  }, 60_000);

  test("sweeps drafts of both files that a killed run left, and not with --dry-run", async () => {
    await writeFile(file, `user1:${blf}\n`);
    const drafts = [".mail-passwords.0123456789ab.new", ".aliases.ba9876543210.new"];
    for (const name of drafts) await writeFile(join(folder, name), "user1:secret\n");
    expect(await sync("--dry-run")).toMatchObject({ status: 0 });
    expect(await readdir(folder)).toEqual(expect.arrayContaining(drafts));
    expect(await sync()).toMatchObject({ status: 0 });
    expect((await readdir(folder)).filter((name) => name.endsWith(".new"))).toEqual([]);
  });

  test("writes where a symbolic link leads, as passwd does", async () => {
    const link = join(folder, "link");
    await writeFile(file, `user1:${blf}\n`);
    await symlink(file, link);
    await configure(link);
    expect(await sync()).toMatchObject({ status: 0 });
    expect((await lstat(link)).isSymbolicLink()).toBe(true);
    expect(await readFile(file, "utf8")).toBe(listed.map((name) => `${name}:${md5}\n`).join(""));
  });

  test("says in one line that somebody holds the lock", async () => {
    await configure(file);
    const lock = join(folder, ".mail-passwords.lock");
    await writeFile(file, `user1:${blf}\n`);
    const holder = execFile("flock", ["-F", "-x", lock, "sleep", "60"]);
    try {
      while (spawnSync("flock", ["-n", lock, "true"]).status === 0) await pause(20);
      const { status, stdout, stderr } = await sync();
      expect({ status, stdout, stderr }).toEqual({
        status: 75,
        stdout: "",
        stderr: `tpa-submit sync: ${lock} has been held by another process for more than 10 seconds; nothing was changed, try again\n`,
      });
      expect(await readFile(file, "utf8")).toBe(`user1:${blf}\n`);
    } finally {
      holder.kill();
    }
  });
});

/** Whom the JSON of a run says that it took out of the password file. */
function removedBy(json: string): readonly string[] {
  const report: { passwords: { removed: readonly { name: string }[] } } = JSON.parse(json);
  return report.passwords.removed.map(({ name }) => name);
}
