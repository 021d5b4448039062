/** The checkup of a running relay, through the command line, with a DNS of its own. */
import { createHash, X509Certificate } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { run } from "../../tools/child.mjs";
import { type NameServer, nameServer, type Records } from "../../tools/dns.ts";

let relay: Relay;
let dns: NameServer;
let zone: Map<string, Records>;

beforeAll(async () => {
  relay = await startRelay();
  zone = new Map<string, Records>([
    ["example.org", { txt: ["v=spf1 ip4:127.0.0.1 -all"] }],
    ["_dmarc.example.org", { txt: ["v=DMARC1; p=none"] }],
    ["_submission._tcp.example.org", { srv: [{ port: relay.submission, host: "localhost" }] }],
    ["_smtps._tcp.example.org", { srv: [{ port: relay.submissions, host: "localhost" }] }],
  ]);
  dns = await nameServer(zone);
  await writeFile(join(relay.folder, "password"), relay.password, { mode: 0o600 });
});
afterAll(async () => {
  await relay?.stop();
  await dns?.close();
});

const checkup = (...options: readonly string[]) =>
  run(program, [
    ...[
      "probe",
      "checkup",
      "localhost",
      "--domain",
      "example.org",
      "--ca",
      relay.certificate,
      "--nameserver",
      dns.address,
    ],
    ...["--submission", String(relay.submission), "--submissions", String(relay.submissions), ...options],
  ]);

describe("the checkup of a relay", () => {
  test("finds it well, and the DNS not quite", async () => {
    const { stdout, status } = await checkup(
      "--login",
      relay.login,
      "--password-file",
      join(relay.folder, "password"),
    );
    expect(stdout).toMatch(/ok {7}offers STARTTLS\n/);
    expect(stdout).toMatch(/ok {7}does not relay for people who have not logged in \(530 5\.7\.0 .*\)\n/);
    expect(stdout).toMatch(/ok {7}refuses a wrong password \(535 5\.7\.8 .*\)\n/);
    expect(stdout).toMatch(/ok {7}TLS 1\.1 and older are refused\n/);
    expect(stdout).toMatch(/ok {7}user1 can log in\n/);
    expect(stdout).toMatch(/ok {7}may not send as somebody else \(550 5\.7\.1 .*\)\n/);
    expect(stdout).toMatch(/ok {7}SPF of example\.org for 127\.0\.0\.1: pass\n/);
    expect(stdout).toMatch(/warning {2}there is no SRV record _submissions\._tcp\.example\.org\n/);
    expect(stdout).toMatch(
      /warning {2}there is an SRV record _smtps\._tcp\.example\.org \(localhost:\d+\)\n {11}No mail program asks for it/,
    );
    expect(stdout).not.toMatch(/FAILED/);
    expect(stdout).not.toContain(relay.password);
    expect(status).toBe(0);
  });

  test("tries a wrong password once", async () => {
    const before = relay.log().length;
    await checkup();
    const failed =
      relay
        .log()
        .slice(before)
        .match(/authentication failed/g) ?? [];
    expect(failed).toHaveLength(1);
  });

  test("compares TLSA records with the certificate that each port shows", async () => {
    const certificate = new X509Certificate(await readFile(relay.certificate));
    const digest = createHash("sha256")
      .update(certificate.publicKey.export({ type: "spki", format: "der" }))
      .digest("hex");
    const names = [relay.submission, relay.submissions].map((port) => `_${port}._tcp.localhost`);
    const [right, wrong] = [`030101${digest}`, `030101${"00".repeat(32)}`];
    zone.set(names[0] ?? "", { tlsa: [wrong, right], authentic: true });
    zone.set(names[1] ?? "", { tlsa: [wrong], authentic: true });
    const { stdout } = await checkup();
    for (const name of names) zone.delete(name);
    expect(stdout).toContain(
      `ok       the 2 TLSA records of port ${relay.submission} match the certificate\n`,
    );
    expect(stdout).toContain(
      `FAILED   the TLSA record of port ${relay.submissions} does not match the certificate\n`,
    );
  });

  test("looks for an MTA-STS policy where the DNS says that there is one", async () => {
    zone.set("_mta-sts.example.org", { txt: ["v=STSv1; id=1;"] });
    zone.set("mta-sts.example.org", { a: ["127.0.0.1"] });
    const { stdout } = await checkup();
    for (const name of ["_mta-sts.example.org", "mta-sts.example.org"]) zone.delete(name);
    expect(stdout).toMatch(
      /FAILED {3}MTA-STS of example\.org: its policy cannot be fetched: mta-sts\.example\.org has no address that is reachable from outside\n/,
    );
  });

  test("is a line and a grade for Nagios", async () => {
    const { stdout, status } = await checkup("--nagios");
    expect(stdout).toMatch(
      /^CHECKUP WARNING - DNS: there is no SRV record _submissions\._tcp\.example\.org \(and \d+ more\)\n/,
    );
    expect(status).toBe(1);
  });

  test("is JSON for programs", async () => {
    const { stdout } = await checkup("--json");
    const findings: unknown = JSON.parse(stdout);
    expect(findings).toContainEqual({
      area: `port ${relay.submission}`,
      state: "ok",
      words: "offers STARTTLS",
    });
  });

  test.each([
    [["--submission", "1"], 1, /FAILED {3}cannot be reached: .*\n {11}Is the service running/],
    [["--ca", "/nope"], 66, /--ca: \/nope: ENOENT/],
    [["--login", "user1"], 64, /--login wants a password: name a file/],
    [["--timeout", "soon"], 64, /--timeout <duration>: expected a duration/],
    [["--nagios", "--json"], 3, /CHECKUP UNKNOWN - --json and --nagios do not go together/],
  ])("with %j says what is wrong", async (options, expected, words) => {
    const { stdout, stderr, status } = await checkup(...options);
    expect(`${stdout}${stderr}`).toMatch(words);
    expect(status).toBe(expected);
  });
});
