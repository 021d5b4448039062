/** The module for Puppet: understood, clean, and applied for real in a folder. */
import { mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { parse } from "smol-toml";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { program } from "../../demo/relay.mjs";
import { readConfig } from "../../src/config/config-file.ts";
import { type Ended, run, runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";

vi.setConfig({ testTimeout: 120_000 });

const modules = join(import.meta.dirname, "..", "..", "packaging/puppet");
const sources = ["manifests", "functions", "types"].map((name) => join(modules, "tpa_submit", name));

describe.skipIf(!real("puppet"))("the module for Puppet", () => {
  let folder = "";
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-puppet-"));
    await mkdir(join(folder, "etc"));
  });
  afterEach(() => rm(folder, { recursive: true }));

  const owner = async (): Promise<string> => {
    const [user, group] = [await runWell("id", ["-un"]), await runWell("id", ["-gn"])];
    return `owner => '${user.trim()}', group => '${group.trim()}', config_dir => '${folder}/etc', manage_service => false,`;
  };

  /** Applies a manifest: 0 where nothing had to change, 2 where something was changed, 4 and 6 where something failed. */
  async function apply(manifest: string, ...more: readonly string[]): Promise<Ended> {
    await writeFile(join(folder, "host.pp"), manifest);
    const own = ["confdir", "vardir", "codedir", "logdir", "rundir"].flatMap((name) => [
      `--${name}`,
      join(folder, "puppet", name),
    ]);
    const words = ["apply", "--modulepath", modules, "--detailed-exitcodes", "--color=false", ...own];
    return run("puppet", [...words, ...more, join(folder, "host.pp")], "", {
      PATH: `${dirname(program)}:${process.env["PATH"] ?? ""}`,
    });
  }

  const relay = async (settings: string): Promise<string> => `class { 'tpa_submit':
  hostname => 'submission.example.org',
  domain => 'example.org',
  settings => ${settings},
  routes => [{ 'to' => ['example.net'], 'relay' => ['smtps://one.example.net:465', 'smtps://two.example.net:465'] }],
  ldap => {
    'url' => 'ldaps://db.example.org', 'base' => 'ou=users,dc=example,dc=org', 'bind-dn' => 'uid=sshdist',
    'bind-password' => Sensitive('a secret'),
  },
  package_ensure => false,
  ${await owner()}
}
`;
  const configuration = (): string => join(folder, "etc/tpa-submit.toml");

  test("is understood by the parser", async () => {
    await runWell("puppet", ["parser", "validate", ...sources]);
  });

  test.skipIf(!real("puppet-lint"))("has nothing that puppet-lint finds", async () => {
    expect(await runWell("puppet-lint", ["--fail-on-warnings", ...sources])).toBe("");
  });

  test("writes a configuration that the program reads, once, and shows it before", async () => {
    const manifest = await relay(
      `{ 'passwords' => { 'wrong-text' => "a \\"quoted\\" \\\\ text" }, 'limits' => { 'messages-per-hour' => 100 } }`,
    );
    const shown = await apply(manifest, "--noop");
    expect([shown.status, shown.stdout]).toEqual([0, expect.stringContaining("should be 'file' (noop)")]);
    await expect(stat(configuration())).rejects.toThrow("ENOENT");

    const applied = await apply(manifest);
    expect(applied.status, applied.stderr).toBe(2);
    expect(applied.stdout + applied.stderr).not.toContain("a secret");
    const read = await readConfig(configuration());
    expect(read.passwords["wrong-text"]).toBe('a "quoted" \\ text');
    expect(read.limits["messages-per-hour"]).toBe(100);
    const password = join(folder, "etc/ldap-password");
    expect(parse(await readFile(configuration(), "utf8"))).toMatchObject({
      route: [{ to: ["example.net"] }],
      ldap: { "bind-password-file": password },
    });
    expect(await readFile(password, "utf8")).toBe("a secret\n");
    expect((await stat(password)).mode & 0o777).toBe(0o640);
    expect((await apply(manifest)).status).toBe(0);
  });

  test("has further domains, filters, providers, and every table without a list", async () => {
    const tables = `{ 'listen' => { 'local' => '/run/tpa-submit/local' }, 'dkim' => { 'folder' => '/etc/tpa-submit/dkim' }, 'tls-reports' => { 'send' => true },
      'sendmail' => { 'maildrop' => '/var/spool/tpa-submit-maildrop' }, 'ssh' => { 'keys' => '/var/lib/tpa-submit/keys' } }`;
    const lists = `domains => [{ 'name' => 'example.net', 'password-file' => '/net', 'dkim-folder' => 'off' }],
  milters => [
    { 'name' => 'rspamd', 'address' => 'unix:/run/rspamd/milter.sock', 'when-away' => 'accept' },
    { 'name' => 'clamav', 'address' => 'inet:127.0.0.1:7357' },
  ],
  providers => [{ 'name' => 'Google', 'concurrency' => 2, 'pause' => '10m' }],
  package_ensure`;
    const manifest = (await relay(tables)).replace("package_ensure", lists);
    expect((await apply(manifest, "--noop")).status).toBe(0);
    const applied = await apply(manifest);
    expect(applied.status, applied.stderr).toBe(2);
    const read = await readConfig(configuration());
    expect(read.domains).toMatchObject([{ name: "example.net", "dkim-folder": "off" }]);
    expect(read.milter.map(({ name, "when-away": away }) => [name, away])).toEqual([
      ["rspamd", "accept"],
      ["clamav", "tempfail"],
    ]);
    expect(read.provider).toMatchObject([{ name: "Google", concurrency: 2 }]);
    expect([read.dkim.folder, read["tls-reports"].send, read.sendmail.maildrop, read.ssh.keys]).toEqual([
      ...["/etc/tpa-submit/dkim", true, "/var/spool/tpa-submit-maildrop", "/var/lib/tpa-submit/keys"],
    ]);
    expect((await apply(manifest)).status).toBe(0);
    const wrong = await apply(manifest.replace("'accept'", "'ignore'"));
    expect([wrong.status, wrong.stderr]).toEqual([1, expect.stringMatching(/parameter 'milters' index 0 /)]);
  });

  test("has the database of several hosts, and its password in a file of its own", async () => {
    const spool = "{ 'spool' => { 'store' => 'postgresql://tpa@:9/tpa?host=/nowhere', 'lease' => '20s' } }";
    const manifest = (await relay(spool)).replace(
      "package_ensure",
      "store_password => Sensitive('another secret'), package_ensure",
    );
    const applied = await apply(manifest);
    expect(applied.status, applied.stderr).toBe(2);
    expect(applied.stdout + applied.stderr).not.toContain("another secret");
    const read = await readConfig(configuration());
    const password = join(folder, "etc/store-password");
    expect(read.spool).toMatchObject({ lease: 20_000, "store-password-file": password });
    expect(await readFile(password, "utf8")).toBe("another secret\n");
    expect((await stat(password)).mode & 0o777).toBe(0o640);
    expect((await apply(manifest)).status).toBe(0);
  });

  test("keeps out a configuration that the program does not understand", async () => {
    expect((await apply(await relay("{}"))).status).toBe(2);
    const before = await readFile(configuration(), "utf8");
    const refused = await apply(await relay("{ 'limits' => { 'mesages-per-hour' => 100 } }"));
    expect(refused.status).toBe(4);
    expect(refused.stderr).toMatch(/limits\.mesages-per-hour: no such setting/);
    expect(await readFile(configuration(), "utf8")).toBe(before);
  });

  test("refuses a route or a directory that is none, before anything is done", async () => {
    const wrong = (await relay("{}")).replace("'relay' =>", "'relais' =>");
    const refused = await apply(wrong);
    expect(refused.status).toBe(1);
    expect(refused.stderr).toMatch(/parameter 'routes' index 0 .*relay/);
  });

  test("has routes for the probes, with their passwords", async () => {
    const applied = await apply(`class { 'tpa_submit::monitoring':
  probes => {
    'submission' => { 'server' => 'smtps://submission.example.org:465', 'from' => 'probe@example.org' },
    'route' => [{ 'name' => 'own', 'to' => 'probe@example.org', 'arrive' => 'maildir:/home/probe/Maildir' }],
  },
  password_files => { 'probe-password' => Sensitive('a secret') },
  ${await owner()}
}
`);
    expect(applied.status, applied.stderr).toBe(2);
    expect(parse(await readFile(join(folder, "etc/probes.toml"), "utf8"))).toMatchObject({
      submission: { from: "probe@example.org" },
      route: [{ name: "own" }],
    });
    expect(await readFile(join(folder, "etc/probe-password"), "utf8")).toBe("a secret\n");
  });
});
