/** `status` as an operator types it, beside a relay at work and without one. */
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { chmod, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { statusCommand } from "../../../src/commands/status.ts";
import { selfSigned } from "../../tools/certificate.ts";
import { type Ended, run } from "../../tools/child.mjs";
import { authPlain, expecting, greet, note, submit } from "../serve/conversation.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let relay: Relay | undefined;
afterEach(async () => {
  await relay?.stop();
  relay = undefined;
});

const status = (at: Relay, ...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, "status", "--config", at.config, ...words]);

/** A relay of which `check` warns of nothing. */
async function soundRelay(): Promise<Relay> {
  relay = await prepareRelay("[limits]\nconnections = 50\n");
  const { cert, key } = selfSigned(["relay.example.org", "localhost"], 365);
  await writeFile(join(relay.folder, "certificate.pem"), cert);
  await writeFile(join(relay.folder, "key.pem"), key, { mode: 0o600 });
  await relay.start();
  return relay;
}

test("tells of a relay that works, then of one that does not run", async () => {
  const started = await soundRelay();
  const talk = await greet(started);
  await expecting("535", talk.say(authPlain("user1", "wrong")));
  await expecting("235", talk.say(authPlain("user1", started.password)));
  await started.logged(new RegExp(`${await submit(talk, note("counted"))}: removed`));
  talk.close();
  await expect
    .poll(async () => (await status(started)).stdout, { timeout: 30_000 })
    .toMatch(/last hour +1 +1 +0 +0 +0\n/);
  const { stdout, status: ended } = await status(started);
  expect(stdout).toMatch(/^relay\.example\.org: well, \d{4}-/);
  expect(stdout).toMatch(/^ {2}relay +tpa-submit \S+, up \d+s, \d+ sessions?\n/m);
  expect(stdout).toMatch(/^ {2}passwords +1 login, \S+ written \d+s ago\n/m);
  expect(stdout).toMatch(/^ {2}top logins +user1 1\n/m);
  expect(stdout).toMatch(/^ {2}24 hours, to +delivered .*\n {4}\S+ +1 +0 +0 /m);
  expect(stdout).toMatch(/^ {2}wrong passwords +127\.0\.0\.1 1\n/m);
  expect(ended).toBe(0);
  expect((await status(started, "--nagios")).stdout).toMatch(/^STATUS OK - the relay is well \| queue=0;/);
  expect(JSON.parse((await status(started, "--json")).stdout)).toMatchObject({
    findings: [],
    top: [{ login: "user1" }],
  });

  const history = join(started.folder, "probed");
  const probed = {
    route: "net",
    provider: "example.net",
    at: Date.now() - 60_000,
    outcome: "inbox",
    grade: 0,
  };
  await writeFile(history, `${JSON.stringify({ ...probed, words: "in INBOX", after: 900 })}\n`);
  const report = (...words: readonly string[]) =>
    run(process.execPath, [program, "probe", "report", "--history", history, ...words]);
  expect((await report("--config", started.config)).stdout).toMatch(
    /^net +day +1 +100 % .*[\s\S]*\n\nMAIL OF \d DAYS .*\n\S+ +1 +0 +0 /m,
  );
  expect((await report()).stdout).not.toContain("MAIL OF");
  expect((await report("--config", join(started.folder, "none"))).status).toBe(66);

  started.signal("SIGTERM");
  await started.ended;
  const without = await status(started);
  expect(without.stdout).toMatch(/^relay\.example\.org: 1 thing to look at, .*\n {2}! no relay runs here/);
  expect(without.status).toBe(69);
  const critical = await status(started, "--nagios");
  expect(critical.stdout).toMatch(/^STATUS CRITICAL - no relay/);
  expect(critical.status).toBe(2);
});

test("tells of the keys by which people send by SSH, and of a file that is not there", async () => {
  relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = "127.0.0.1:0"
[ssh]
keys = "FOLDER/ssh-keys"
`);
  const file = join(relay.folder, "ssh-keys");
  const key = (number: number): string => {
    const octets = Buffer.alloc(51, number);
    octets.writeUInt32BE(11);
    octets.write("ssh-ed25519", 4);
    return `ssh-ed25519 ${octets.toString("base64")}`;
  };
  await writeFile(file, `user1 ${key(1)}\nuser1 ${key(2)}\nuser2 ${key(3)}\nuser3 ssh-dss AAAA\n`);
  await relay.start();
  const [, http = ""] = /listening for http on (\S+)/.exec(relay.log()) ?? [];
  const metrics = async (): Promise<string> => (await fetch(`http://${http}/metrics`)).text();
  expect(await metrics()).toMatch(
    /^tpa_submit_ssh_keys 3\n[\s\S]*^tpa_submit_ssh_keys_written_timestamp_seconds \d+/m,
  );
  expect((await status(relay)).stdout).toMatch(/^ {2}SSH keys +3 keys of 2 logins, \S+ written \d+s ago\n/m);
  await writeFile(file, `user1 ${key(1)}\n`);
  await expect.poll(metrics).toContain("\ntpa_submit_ssh_keys 1\n");
  await rm(file);
  expect(await metrics()).not.toMatch(/^tpa_submit_ssh_keys /m);
  expect((await status(relay)).stdout).toMatch(/^ {2}SSH keys +ENOENT/m);
  expect(JSON.parse((await status(relay, "--json")).stdout)).toMatchObject({ sshKeys: { file, keys: 0 } });
});

test("tells what check warns of, while the relay runs and without it", async () => {
  const started = await soundRelay();
  const passwords = join(started.folder, "mail-passwords");
  await chmod(passwords, 0o644);
  const warning = `files: ${passwords}: everybody can read it (mode 0644)`;
  const seen = await status(started);
  expect(seen.stdout).toMatch(/^relay\.example\.org: 1 thing to look at, /);
  expect(seen.stdout.replaceAll(/\n {4}(?! )/g, " ")).toContain(`  ! ${warning} -> chown, chgrp or chmod it`);
  expect(seen.status).toBe(0);
  const nagios = await status(started, "--nagios");
  expect(nagios.stdout).toContain(`STATUS WARNING - ${warning} | queue=0;`);
  expect(nagios.status).toBe(1);
  expect(JSON.parse((await status(started, "--json")).stdout)).toMatchObject({
    findings: [{ grade: "warning", check: "files", text: warning }],
    checks: { unjudged: [] },
  });
  started.signal("SIGTERM");
  await started.ended;
  await writeFile(passwords, "user1\n");
  const without = (await status(started)).stdout.replaceAll(/\n {4}(?! )/g, " ");
  expect(without).toMatch(/^relay\.example\.org: 3 things to look at, .*\n {2}! no relay runs here/);
  expect(without).toContain("  ! passwords: ");
});

test("tells of a spool that is not there, as on a disk that is not mounted, and of all else", async () => {
  const started = await soundRelay();
  started.signal("SIGTERM");
  await started.ended;
  await rm(join(started.folder, "spool"), { recursive: true });
  const { stdout, stderr, status: ended } = await status(started);
  expect(stderr).toBe("");
  expect(stdout).toMatch(/^ {2}! no relay runs here.*\n {2}! the queue is not known: \S+\/spool: /m);
  expect(stdout).toMatch(/^ {2}queue +not known$/m);
  expect(stdout).toMatch(/^ {2}passwords +\S+ written \d+s ago$/m);
  expect(ended).toBe(69);
});

test("a file that cannot be read to its end keeps nobody waiting: what is not known is said", async () => {
  const started = await soundRelay();
  started.signal("SIGTERM");
  await started.ended;
  const passwords = join(started.folder, "mail-passwords");
  await rm(passwords);
  execFileSync("mkfifo", ["-m", "600", passwords]);
  const { stdout, status: ended } = await status(started);
  expect(stdout).toMatch(/^relay\.example\.org: 1 thing to look at, .*\n {2}! no relay runs here/);
  expect(stdout).toMatch(/^ {2}not judged +passwords: nothing found within 2 s$/m);
  expect(ended).toBe(69);
});

test("tpa-submit-status(8) has every option", () => {
  const page = readFileSync(new URL("../../../man/tpa-submit-status.8", import.meta.url), "utf8");
  for (const { flags } of Object.values(statusCommand.options)) {
    const long = flags.split(/[ ,]+/).find((word) => word.startsWith("--")) ?? "";
    expect(page).toMatch(new RegExp(`^\\.It Fl (?:. , )?-${long.slice(2)}\\b`, "m"));
  }
});
