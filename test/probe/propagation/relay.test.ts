/** A test account's password on its way: the real slapd, our sync beside our relay, and the built probe. */
import { type ChildProcess, spawn } from "node:child_process";
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { manager, people, person, reader, type Slapd, slapdPrograms, startSlapd } from "../../ldap/slapd.ts";
import { real } from "../../tools/real.ts";
import { onTerminal } from "../../tools/terminal.ts";
import { until } from "../../tools/until.ts";

interface Result {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

describe.skipIf(!real(...slapdPrograms))("tpa-submit probe propagation", () => {
  let folder = "";
  let slapd: Slapd;
  let relay: Relay;
  let syncing: ChildProcess;
  const inFolder = (name: string): string => join(folder, name);

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-propagation-"));
    await chmod(folder, 0o700);
    await writeFile(inFolder("reader"), reader.password, { mode: 0o600 });
    await writeFile(inFolder("admin"), manager.password, { mode: 0o600 });
    await writeFile(inFolder("own"), "own password\n", { mode: 0o600 });
    await writeFile(inFolder("password"), "first-password\n", { mode: 0o600 });
    const fingerprint = `keyFingerPrint: ${"0123456789".repeat(4)}`;
    const hash = "mailPassword: {PLAIN}first-password";
    slapd = await startSlapd({
      entries: person("probe", hash) + person("probe2", hash) + person("user1", `${hash}\n${fingerprint}`),
    });
    await slapd.modify(
      `dn: uid=probe,${people}\nchangetype: modify\nreplace: userPassword\nuserPassword: own password\n`,
    );
    relay = await startRelay(settingsFor("reader", reader.dn));
    await writeFile(
      inFolder("tpa-submit.toml"),
      `hostname = "submission.example.org"\ndomain = "example.org"\n${settingsFor("admin", manager.dn)}`,
    );
    syncing = spawn(process.execPath, [program, "sync", "--watch", "--config", relay.config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    let said = "";
    syncing.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await until("the first sync", () => /replaced: 3 logins/.exec(said) ?? undefined);
  });
  afterAll(async () => {
    syncing?.kill("SIGKILL");
    await relay?.stop();
    await slapd?.remove();
    await rm(folder, { recursive: true });
  });

  const settingsFor = (secret: string, dn: string): string => `[ldap]
url = "${slapd.ldaps}"
ca = "${slapd.ca}"
base = "${people}"
bind-dn = "${dn}"
bind-password-file = "${inFolder(secret)}"
[sync]
interval = "1s"
`;

  function run(...words: readonly string[]): Promise<Result> {
    const argv = [
      ...["probe", "propagation", "--config", inFolder("tpa-submit.toml"), "--ca", relay.certificate],
      ...["--server", `smtps://localhost:${relay.submissions}`, "--interval", "1s", ...words],
    ];
    const child = spawn(process.execPath, [program, ...argv], { stdio: ["ignore", "pipe", "pipe"] });
    let stdout = "";
    let stderr = "";
    child.stdout.on("data", (chunk: Buffer) => {
      stdout += chunk.toString();
    });
    child.stderr.on("data", (chunk: Buffer) => {
      stderr += chunk.toString();
    });
    return new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", (status) => resolve({ status, stdout, stderr }));
    });
  }

  const own = (): readonly string[] => ["--login", "probe", "--password-file", inFolder("password")];

  async function password(file = "password"): Promise<string> {
    return (await readFile(inFolder(file), "utf8")).trim();
  }

  test("asks first, or wants --yes, where no password of the account is known", async () => {
    const result = await run("--login", "probe2", "--password-file", inFolder("none"));
    expect(result).toMatchObject({ status: 64, stdout: "" });
    expect(result.stderr).toMatch(
      /no password in \S+\/none opens probe2, so this may be somebody's own account/,
    );
    expect(await readdir(folder)).not.toContain("none.next");
  });

  test.skipIf(!real("script"))("asks on the terminal, and changes nothing after a no", async () => {
    const words = [
      "probe",
      "propagation",
      "--config",
      inFolder("tpa-submit.toml"),
      "--ca",
      relay.certificate,
    ];
    const server = ["--server", `smtps://localhost:${relay.submissions}`];
    const account = ["--login", "probe2", "--password-file", inFolder("none")];
    const { shown, status } = await onTerminal([...words, ...server, ...account].join(" "), [
      ["[y/N] ", "n\r"],
    ]);
    expect(shown).toMatch(/Is it for tests alone, and shall it get a new password\?/);
    expect(shown).toContain("nothing was changed");
    expect(status).toBe(75);
    expect(await readdir(folder)).not.toContain("none.next");
  });

  test("sets a new password, sees it work and the old one end, and keeps it", async () => {
    const result = await run(...own(), "--nagios", "--prometheus", inFolder("p.prom"));
    expect(result.stderr).toBe("");
    expect(result.stdout).toMatch(
      /^PROPAGATION OK - the new password works after \d+(\.\d)? s, the old one ended after \d+(\.\d)? s \| new=[\d.]+s;300\.000;900\.000;0 old=[\d.]+s;300\.000;900\.000;0\n$/,
    );
    expect(result.status).toBe(0);
    const now = await password();
    expect(now).not.toBe("first-password");
    expect((await stat(inFolder("password"))).mode & 0o777).toBe(0o600);
    expect(await readdir(folder)).not.toContain("password.next");
    expect(result.stdout + relay.log()).not.toContain(now);
    const metrics = await readFile(inFolder("p.prom"), "utf8");
    expect(metrics).toMatch(/^tpa_submit_propagation_success 1$/m);
    expect(metrics).toMatch(/^tpa_submit_propagation_seconds\{password="new"\} [\d.]+$/m);
    const refused = relay.log().match(/SASL PLAIN authentication failed.*sasl_username=probe\b/g) ?? [];
    expect(refused.length).toBeLessThan(3);
  });

  test("does so again with what it kept, as the account itself, and tells it as JSON", async () => {
    const before = await password();
    const result = await run(...own(), "--json", "--bind-password-file", inFolder("own"));
    const told = JSON.parse(result.stdout) as Record<string, unknown>;
    expect(told).toMatchObject({ login: "probe", grade: 0, wrong: 1 });
    expect(told["oldEnds"]).toBeTypeOf("number");
    expect(await password()).not.toBe(before);
    expect(result.stdout).not.toContain(await password());
  });

  test("goes on from a run that ended before its password worked", async () => {
    await writeFile(inFolder("password.next"), `${await password()}\n`, { mode: 0o600 });
    await writeFile(inFolder("password"), "of long ago\n", { mode: 0o600 });
    const result = await run(...own());
    expect(result).toMatchObject({ status: 0, stderr: "" });
    expect(await password()).not.toBe("of long ago");
    expect(await readdir(folder)).not.toContain("password.next");
  });

  test("leaves people's accounts alone, whatever is said", async () => {
    const result = await run("--login", "user1", "--password-file", inFolder("none"), "--yes");
    expect(result).toMatchObject({ status: 77, stdout: "" });
    expect(result.stderr).toContain(`uid=user1,${people} has keyFingerPrint, so it is a person's`);
    expect(await readdir(folder)).not.toContain("none.next");
  });

  test("changes nothing where the server cannot be talked with", async () => {
    const before = await password();
    const result = await run(...own(), "--server", "smtps://localhost:1", "--nagios");
    expect(result.status).toBe(2);
    expect(result.stdout).toMatch(/^PROPAGATION CRITICAL - localhost: .*; nothing was changed\n$/);
    expect(await password()).toBe(before);
  });

  test("gives up in time where nobody brings the change, and keeps both passwords", async () => {
    syncing.kill("SIGSTOP");
    try {
      const before = await password();
      const times = ["--timeout", "3s", "--warn", "1s", "--crit", "2s"];
      const result = await run(...own(), ...times);
      expect(result).toMatchObject({
        status: 2,
        stdout: "the new password does not work after 3.0 s, the old one still does\n",
      });
      expect(await password()).toBe(before);
      expect(await password("password.next")).not.toBe(before);
    } finally {
      syncing.kill("SIGCONT");
    }
  });

  test.each([
    [[], 64, /--login: name the test account/],
    [["--login", "probe"], 64, /--password-file: name the file/],
    [["--login", "probe", "--password-file", "x", "--nagios", "--json"], 64, /do not go together/],
    [["--login", "probe", "--password-file", "x", "--warn", "30m"], 64, /--warn <= --crit <= --timeout/],
  ] as const)("takes %j for a mistake", async (words, status, complaint) => {
    const result = await run(...words);
    const said = result.stderr + result.stdout;
    expect(said).toMatch(complaint);
    expect(result.status).toBe(words.some((word) => word === "--nagios") ? 3 : status);
  });
});
