/** The Debian packages: the same octets each time, everything in its place, nothing that lintian takes for an error. */
import { createHash } from "node:crypto";
import { chmod, lstat, mkdtemp, readdir, readFile, readlink, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { parse } from "smol-toml";
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { readableFormats } from "../../src/server/spool/open.ts";
import { type Ended, run, runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";

const root = join(import.meta.dirname, "..", "..");

const hasLintian = real("lintian");

/** Builds one kind in `folder`, with what differs from one machine to the next. */
async function build(flavour: string, folder: string, environment: Record<string, string>): Promise<string> {
  const words = [join(root, "packaging/package.mjs"), folder, "--flavour", flavour, "--no-compression"];
  return (await runWell(process.execPath, words, "", environment)).trim();
}

const sum = async (path: string): Promise<string> =>
  createHash("sha256")
    .update(await readFile(path))
    .digest("hex");

describe.skipIf(!real("dpkg-deb", "man"))("the package for Debian 13", () => {
  let folder = "";
  let packed = "";
  let tree = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-package-"));
    packed = await build("debian13", folder, {});
    tree = join(folder, "tree");
    await runWell("dpkg-deb", ["-R", packed, tree]);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("has the same octets when it is built again, elsewhere and later", async () => {
    const other = await mkdtemp(join(tmpdir(), "tpa-submit-package-other-"));
    try {
      const environment = {
        TZ: "Pacific/Auckland",
        LC_ALL: "C",
        TMPDIR: other,
        SOURCE_DATE_EPOCH: await date(),
      };
      expect(await sum(await build("debian13", other, environment))).toBe(await sum(packed));
    } finally {
      await rm(other, { recursive: true });
    }
  });

  /** Of the newest release, in seconds. */
  async function date(): Promise<string> {
    const [, day = ""] = /^## \d\S* - (\S+)$/m.exec(await readFile(join(root, "CHANGELOG.md"), "utf8")) ?? [];
    return String(Date.parse(`${day}T00:00:00Z`) / 1000);
  }

  const paths = async (): Promise<readonly string[]> =>
    (await readdir(tree, { recursive: true, withFileTypes: true }))
      .filter((entry) => !entry.isDirectory())
      .map((entry) => join(entry.parentPath, entry.name).slice(tree.length))
      .filter((path) => !path.startsWith("/DEBIAN/"))
      .sort();

  test("has every manual page, the units, and all of etc/ that a host needs", async () => {
    const found = await paths();
    const pages = (await readdir(join(root, "man"))).map(
      (name) => `/usr/share/man/man${name.at(-1)}/${name}.gz`,
    );
    const units = (await readdir(join(root, "etc/systemd")))
      .filter((name) => name.startsWith("tpa-submit"))
      .map((name) => `/usr/lib/systemd/system/${name}`);
    const others = [
      "/usr/bin/tpa-submit",
      "/usr/lib/sysusers.d/tpa-submit.conf",
      "/usr/lib/tmpfiles.d/tpa-submit.conf",
      "/etc/fail2ban/jail.d/tpa-submit.conf",
      "/etc/logrotate.d/tpa-submit",
      "/usr/share/bash-completion/completions/tpa-submit",
      "/usr/share/fish/vendor_completions.d/tpa-submit.fish",
      "/usr/share/zsh/vendor-completions/_tpa-submit",
      "/usr/share/doc/tpa-submit/examples/grafana/tpa-submit.json",
      "/usr/share/doc/tpa-submit/examples/prometheus/tpa-submit.rules.yml",
    ];
    for (const path of [...pages, ...units, ...others]) expect(found).toContain(path);
    const conffiles = await readFile(join(tree, "DEBIAN/conffiles"), "utf8");
    expect(conffiles.trim().split("\n")).toEqual(found.filter((path) => path.startsWith("/etc/")));
    expect(
      (await runWell("man", ["-l", join(tree, "usr/share/man/man1/tpa-submit.1.gz")])).length,
    ).toBeGreaterThan(99);
  });

  test("runs from where it is, on the Node.js that it depends on", async () => {
    const { stdout } = await run(process.execPath, [join(tree, "usr/bin/tpa-submit"), "--version"]);
    expect(stdout).toMatch(/^tpa-submit \d/);
    const launcher = await readFile(join(tree, "usr/lib/tpa-submit/bin/tpa-submit"), "utf8");
    expect(launcher).toMatch(/^#!\/usr\/bin\/node\n/);
    expect(await readFile(join(tree, "DEBIAN/control"), "utf8")).toMatch(/^Depends: .*nodejs \(>= 20\.19\)/m);
  });

  test("is configured by nothing but comments: every setting has its default, and two have none", async () => {
    const text = await readFile(join(tree, "etc/tpa-submit/tpa-submit.toml"), "utf8");
    const tables = Object.values(parse(text));
    expect(tables.length).toBeGreaterThan(5);
    for (const table of tables) expect(table).toEqual({});
    expect(text).toContain('# hostname = "submission.example.org"');
    const refused = await run(process.execPath, [
      join(tree, "usr/bin/tpa-submit"),
      "serve",
      "--check",
      "--config",
      join(tree, "etc/tpa-submit/tpa-submit.toml"),
    ]);
    expect(refused.status).toBe(78);
    expect(refused.stderr).toMatch(/hostname/);
  });

  test("reads the formats of a spool that its preinst says", async () => {
    const highest = Math.max(...readableFormats.map((format) => Number(format.split(" ").at(-1))));
    expect(await readFile(join(tree, "DEBIAN/preinst"), "utf8")).toContain(`\nreadable=${String(highest)}\n`);
  });

  test.skipIf(!hasLintian)("has no fault that lintian knows", async () => {
    const { status, stdout } = await lintian(packed);
    expect(stdout).not.toMatch(/^[EW]:/m);
    expect(status).toBe(0);
  });

  describe("installs a certificate", () => {
    let here = "";
    let environment: Record<string, string> = {};
    beforeEach(async () => {
      here = await mkdtemp(join(folder, "tls-"));
      await writeFile(
        join(here, "tpa-submit.toml"),
        'hostname = "submission.example.org" # ours\n[tls]\nhostname = "x"\n',
      );
      await writeFile(join(here, "chain"), "the chain\n");
      await writeFile(join(here, "key"), "the key\n", { mode: 0o600 });
      await writeFile(join(here, "fullchain.pem"), "the chain\n");
      await writeFile(join(here, "privkey.pem"), "the key\n");
      environment = {
        TPA_SUBMIT_CONFIG: join(here, "tpa-submit.toml"),
        TPA_SUBMIT_TLS: join(here, "tls"),
        TPA_SUBMIT_GROUP: String(process.getegid?.()),
        TPA_SUBMIT_HOOKS: join(tree, "usr/lib/tpa-submit/certificates"),
      };
    });

    const hook = (
      path: string,
      words: readonly string[],
      more: Record<string, string> = {},
    ): Promise<Ended> => run(join(tree, path), words, "", { ...environment, ...more });
    const installed = (): Promise<string> => readFile(join(here, "tls/privkey.pem"), "utf8");

    const certbot = "etc/letsencrypt/renewal-hooks/deploy/tpa-submit";
    const beside = "usr/lib/tpa-submit/certificates";

    test.each([
      ["certbot", certbot, [], { RENEWED_DOMAINS: "www.example.org submission.example.org" }],
      ["certbot, for all of the domain", certbot, [], { RENEWED_DOMAINS: "example.org *.example.org" }],
      [
        "dehydrated",
        `${beside}/dehydrated`,
        ["deploy_cert", "submission.example.org", "KEY", "x", "CHAIN", "x", "1"],
        {},
      ],
      ["lego", `${beside}/lego`, [], { LEGO_HOOK_CERT_DOMAINS: "www.example.org,submission.example.org" }],
      ["lego before 5", `${beside}/lego`, [], { LEGO_CERT_DOMAIN: "submission.example.org" }],
    ])("from %s", async (_, path, words, names) => {
      const known: Record<string, string> = { KEY: join(here, "key"), CHAIN: join(here, "chain") };
      const { status, stderr } = await hook(
        path,
        words.map((word) => known[word] ?? word),
        {
          RENEWED_LINEAGE: here,
          LEGO_HOOK_CERT_PATH: join(here, "chain"),
          LEGO_HOOK_CERT_KEY_PATH: join(here, "key"),
          ...names,
        },
      );
      expect([status, stderr, await installed()]).toEqual([0, "", "the key\n"]);
      expect((await stat(join(here, "tls/privkey.pem"))).mode & 0o777).toBe(0o640);
      expect(await readFile(join(here, "tls/fullchain.pem"), "utf8")).toBe("the chain\n");
    });

    test.each([
      ["certbot", certbot, [], { RENEWED_DOMAINS: "www.example.org other.submission.example.org" }],
      [
        "dehydrated",
        `${beside}/dehydrated`,
        ["deploy_cert", "www.example.org", "/x", "/x", "/x", "/x", "1"],
        {},
      ],
      [
        "dehydrated with another step",
        `${beside}/dehydrated`,
        ["deploy_challenge", "submission.example.org"],
        {},
      ],
      ["lego", `${beside}/lego`, [], { LEGO_HOOK_CERT_DOMAINS: "www.example.org" }],
    ])("not of another host, from %s", async (_, path, words, names) => {
      const { status } = await hook(path, words, { RENEWED_LINEAGE: here, ...names });
      expect(status).toBe(0);
      await expect(lstat(join(here, "tls"))).rejects.toThrow("ENOENT");
    });

    test("in place of the one before, of which nothing is left", async () => {
      const words = [join(here, "chain"), join(here, "key")];
      const path = `${beside}/install-certificate`;
      expect(await hook(path, words)).toMatchObject({ status: 0, stderr: "" });
      const before = await readlink(join(here, "tls/current"));
      await writeFile(join(here, "key"), "another key\n");
      expect(await hook(path, words)).toMatchObject({ status: 0, stderr: "" });
      expect(await installed()).toBe("another key\n");
      const left = await readdir(join(here, "tls"));
      expect(left.sort()).toEqual([
        "current",
        "fullchain.pem",
        await readlink(join(here, "tls/current")),
        "privkey.pem",
      ]);
      expect(left).not.toContain(before);
    });

    test("and says what is wrong, with the old one in place", async () => {
      const path = `${beside}/install-certificate`;
      await hook(path, [join(here, "chain"), join(here, "key")]);
      expect(await hook(path, [join(here, "chain"), join(here, "none")])).toMatchObject({
        status: 66,
        stderr: `install-certificate: ${here}/none: cannot be read\n`,
      });
      expect((await hook(path, [])).status).toBe(64);
      await writeFile(join(here, "tpa-submit.toml"), "# nothing\n");
      expect((await hook(path, ["--names", "x", join(here, "chain"), join(here, "key")])).status).toBe(78);
      expect(await installed()).toBe("the key\n");
    });
  });
});

const lintian = (packed: string): Promise<Ended> =>
  run("lintian", [
    "--allow-root",
    "--suppress-tags=uses-no-compression-for-data-tarball,uses-no-compression-for-control-tarball",
    "--profile=debian",
    "--fail-on=error",
    packed,
  ]);

/** Node.js comes from npm's registry, once; a machine without it has done that or is offline. */
const fetched = real("dpkg-deb")
  ? await run(process.execPath, [join(root, "packaging/node.mjs")])
  : undefined;
if (fetched?.status !== 0)
  process.stderr.write("\n*** SKIPPED, no Node.js to pack: the registry was not there ***\n");

describe.skipIf(fetched?.status !== 0)("the package for Debian 12", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-package-"));
    await chmod(folder, 0o755);
  });
  afterAll(() => rm(folder, { recursive: true, force: true }));

  test("has its own Node.js, with its licence", async () => {
    const one = await build("debian12", join(folder, "one"), {});
    const tree = join(folder, "tree");
    await runWell("dpkg-deb", ["-x", one, tree]);
    const { stdout } = await run(join(tree, "usr/lib/tpa-submit/node"), [
      join(tree, "usr/bin/tpa-submit"),
      "--version",
    ]);
    expect(stdout).toMatch(/^tpa-submit \d/);
    expect(await readFile(join(tree, "usr/share/doc/tpa-submit/copyright"), "utf8")).toMatch(
      /Node\.js is licensed/,
    );
    if (!hasLintian) return;
    const judged = await lintian(one);
    expect(judged.stdout).not.toMatch(/^[EW]:/m);
    expect(judged.status).toBe(0);
  }, 400_000); // lintian takes 126 MB apart
});
