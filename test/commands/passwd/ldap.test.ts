import { chmod, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { readAccess } from "../../../src/ldap/access.ts";
import { withDirectory } from "../../../src/ldap/connection.ts";
import { textsOf } from "../../../src/ldap/directory.ts";
import { readStored, verifyStored } from "../../../src/passwd/stored.ts";
import { manager, people, person, type Slapd, slapdPrograms, startSlapd } from "../../ldap/slapd.ts";
import { passwd } from "../../passwd/program.ts";
import { real } from "../../tools/real.ts";

describe.skipIf(!real(...slapdPrograms))("tpa-submit passwd --ldap with the real slapd", () => {
  let slapd: Slapd;
  let folder = "";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-passwd-ldap-"));
    const old = "mailPassword: $1$o8vJpPVD$ZADWRpY5krq2l8aA3AK2R/\nmailPassword: another old one";
    const entries = ["user1", "user2", "o,dd"].map((uid) =>
      person(uid, old).replace(`uid=${uid}`, `uid=${uid.replace(",", "\\,")}`),
    );
    slapd = await startSlapd({ entries: entries.join("") });
    for (const uid of ["user1", "o\\,dd"]) {
      await slapd.modify(
        `dn: uid=${uid},${people}\nchangetype: modify\nreplace: userPassword\nuserPassword: own password\n`,
      );
    }
    await writeFile(join(folder, "own"), "own password\n", { mode: 0o600 });
    await writeFile(join(folder, "wrong"), "wrong password\n", { mode: 0o600 });
    await writeFile(join(folder, "admin"), `${manager.password}\n`, { mode: 0o600 });
    await writeFile(
      join(folder, "tpa-submit.toml"),
      `hostname = "submission.example.org"
domain = "example.org"
[ldap]
url = ["${slapd.ldap}"]
ca = "${slapd.ca}"
base = "${people}"
bind-dn = "${manager.dn}"
bind-password-file = "${join(folder, "admin")}"
`,
    );
    await chmod(folder, 0o700);
  });
  afterAll(async () => {
    await slapd.remove();
    await rm(folder, { recursive: true });
  });

  const run = (...argv: readonly string[]) => passwd([...argv, "--config", join(folder, "tpa-submit.toml")]);

  /** The values of mailPassword, as the manager sees them. */
  async function hashes(dn: string): Promise<readonly string[]> {
    const access = await readAccess({
      url: [slapd.ldap],
      starttls: true,
      ca: slapd.ca,
      "client-certificate": "",
      "client-key": "",
      "bind-dn": manager.dn,
      "bind-password-file": join(folder, "admin"),
      timeout: 5000,
      deadline: 10_000,
    });
    const entry = await withDirectory(access, new AbortController().signal, (directory) =>
      directory.read(dn, ["mailPassword"]),
    );
    return entry ? textsOf(entry, "mailPassword") : [];
  }

  async function letsIn(values: readonly string[], password: string): Promise<boolean> {
    const stored = readStored(values[0] ?? "");
    return values.length === 1 && !("problem" in stored) && verifyStored(stored, { password, names: [] });
  }

  test.each([
    ["user1", "user1"],
    ["o,dd", "o\\,dd"],
  ])("%s sets the own password: one bare hash instead of the old ones", async (user, rdn) => {
    const own = ["--bind-password-file", join(folder, "own")];
    const result = await run("--ldap", user, ...own, "-p", "new one");
    expect(result).toMatchObject({ status: 0, stdout: "" });
    expect(result.stderr).toContain(`mailPassword of uid=${rdn},${people} is set, and was read back`);
    const values = await hashes(`uid=${rdn},${people}`);
    expect(values[0]).toMatch(/^\$2y\$10\$/);
    expect(await letsIn(values, "new one")).toBe(true);
  });

  test("an admin sets it for somebody else, by the login of the configuration", async () => {
    const result = await run("--ldap", "user2", "--as-admin", "--generate", "--json", "-s", "SHA512-CRYPT");
    expect(result).toMatchObject({ status: 0, stderr: "" });
    const { dn, attribute, password } = JSON.parse(result.stdout) as Record<string, string>;
    expect([dn, attribute]).toEqual([`uid=user2,${people}`, "mailPassword"]);
    expect(await letsIn(await hashes(`uid=user2,${people}`), password ?? "")).toBe(true);
  });

  test("a scheme without a bare form keeps its prefix", async () => {
    await run("--ldap", "user2", "--as-admin", "-p", "x", "-s", "SSHA");
    expect((await hashes(`uid=user2,${people}`))[0]).toMatch(/^\{SSHA\}/);
  });

  test("an admin sets, freezes, thaws and deletes one of several, and the others stay", async () => {
    const dn = `uid=user2,${people}`;
    const one = (...words: readonly string[]) => run(...words, "--name", "phone", "--as-admin");
    const phones = async (): Promise<readonly string[]> =>
      (await hashes(dn)).filter((value) => value.includes(":::phone,"));
    const others = await hashes(dn);
    expect(others.length).toBeGreaterThan(0);

    const made = await one("--set", "user2", "--generate", "--json");
    expect(made).toMatchObject({ status: 0, stderr: "" });
    const { password } = JSON.parse(made.stdout) as { password: string };
    const [first = ""] = await phones();
    expect(await letsIn([first.replace(/:::.*/, "")], password)).toBe(true);
    expect((await hashes(dn)).filter((value) => value !== first)).toEqual(others);
    expect((await one("--set", "user2", "-p", "another")).stderr).toContain("the relay hears of it");
    const [second = "", ...more] = await phones();
    expect([more, second === first]).toEqual([[], false]);

    expect((await one("--freeze", "user2")).status).toBe(0);
    expect(await phones()).toEqual([`!${second}`]);
    expect(await one("--freeze", "user2")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("phone of user2 is frozen already"),
    });
    expect((await one("--thaw", "user2")).status).toBe(0);
    expect(await phones()).toEqual([second]);
    expect((await one("--delete", "user2")).status).toBe(0);
    expect(await hashes(dn)).toEqual(others);
    expect(await one("--delete", "user2")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("there is no password phone of user2"),
    });
  });

  test.each([
    ["a wrong directory password", ["user1", "--bind-password-file", "wrong"], 77, /wrong DN or password/],
    ["nobody of that name", ["user9", "--as-admin"], 75, /the directory has no entry with uid user9/],
    ["a name that means all of them", ["*", "--as-admin"], 75, /no entry with uid \*/],
  ])("%s changes nothing", async (_, [user = "", option = "", file], status, complaint) => {
    const before = await hashes(`uid=user2,${people}`);
    const result = await run(
      "--ldap",
      user,
      option,
      ...(file === undefined ? [] : [join(folder, file)]),
      "-p",
      "x",
    );
    expect(result).toMatchObject({ status, stdout: "" });
    expect(result.stderr).toMatch(complaint);
    expect(await hashes(`uid=user2,${people}`)).toEqual(before);
  });
});
