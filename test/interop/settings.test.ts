/** What `tpa-submit settings` prints is given to the real programs as it stands, and mail arrives. */
import { readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { capturingHop, type Hop } from "./hops.ts";
import { newLetter } from "./letter.ts";
import { startPostfix } from "./postfix.mjs";
import { doors, type PrintedSettings, printedSettings } from "./printed-settings.ts";
import { realPostfix } from "./root.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let hop: Hop;
let relay: Relay;
let settings: PrintedSettings;

beforeAll(async () => {
  hop = await capturingHop();
  relay = await startRelay(`[delivery]\n${hop.delivery}`);
  settings = await printedSettings(relay);
});
afterAll(async () => {
  await relay?.stop();
  await hop?.stop();
});

describe.each(doors)("the files for %s", (door) => {
  test.skipIf(!real("msmtp"))("msmtp takes msmtprc", async () => {
    const { token, octets } = newLetter();
    const file = await settings.fileOf(door, "msmtprc");
    const words = ["-C", file, `--tls-trust-file=${relay.certificate}`, "x@example.net"];
    await runWell("msmtp", words, `${octets.toString().replaceAll("\r\n", "\n")}\n`, settings.environment);
    await hop.arrived(token);
  });

  test.skipIf(!real("mutt"))("mutt takes muttrc", async () => {
    const token = crypto.randomUUID();
    const trust = `set certificate_file="${relay.certificate}"; set record="" copy=no`;
    const words = [
      "-n",
      "-F",
      await settings.fileOf(door, "muttrc"),
      "-e",
      trust,
      "-s",
      token,
      "--",
      "x@example.net",
    ];
    await runWell("mutt", words, "hello\n", settings.environment);
    expect(await hop.arrived(token)).toMatch(/^From: .*user1@example\.org/m);
  });

  test.skipIf(!real("git send-email"))("git send-email takes gitconfig", async () => {
    const token = crypto.randomUUID();
    const mail = join(relay.folder, `${door}.patch`);
    const text = `Subject: ${token}\nTo: x@example.net\nFrom: user1@example.org\n\nhello\n`;
    await writeFile(mail, text);
    await writeFile(join(relay.folder, "credential"), `password=${relay.password}\n`, { mode: 0o600 });
    const words = [
      ...["-c", `credential.helper=!f() { cat ${relay.folder}/credential; }; f`],
      ...["-c", `sendemail.smtpSSLCertPath=${relay.certificate}`],
      ...["-c", "user.name=User One", "-c", "user.email=user1@example.org"],
      ...["send-email", "--quiet", "--confirm=never", "--to=x@example.net", mail],
    ];
    const config = await settings.fileOf(door, "gitconfig");
    await runWell("git", words, "", { ...settings.environment, GIT_CONFIG_GLOBAL: config });
    await hop.arrived(token);
  });

  describe.skipIf(!realPostfix("postfix sasl", "swaks"))("Postfix takes", () => {
    /** Paths and names of the test in place of the system's; 127.0.0.1 has no name that Postfix would look up. */
    const moved = (text: string): string =>
      text
        .replaceAll("/etc/postfix/", "FOLDER/")
        .replaceAll("/etc/ssl/certs/ca-certificates.crt", relay.certificate)
        .replaceAll("PASSWORD", relay.password);
    const native = "\nsmtp_host_lookup = native\n";

    async function sends(lines: string, extras: Parameters<typeof startPostfix>[1]): Promise<void> {
      const { token, octets } = newLetter();
      const postfix = await startPostfix(lines, extras);
      try {
        const envelope = ["-f", "user1@example.org", "-t", "x@example.net"];
        await runWell("swaks", ["-s", `127.0.0.1:${postfix.port}`, ...envelope, "--data", "-"], octets);
        await hop.arrived(token).catch(async (error: unknown) => {
          throw new Error(await postfix.log(), { cause: error });
        });
      } finally {
        await postfix.stop();
      }
    }

    test("main.cf, with the line for sasl_passwd that stands in it", async () => {
      const text = moved(await settings.printed(door, "--format", "main.cf"));
      const secret = /^# (\[.*)$/m.exec(text)?.[1] ?? "";
      const lines = text.replace(/^#.*\n/gm, "");
      await sends(`${lines}${native}`, { files: { sasl_passwd: `${secret}\n` } });
    });

    test("the files for one sender", async () => {
      const client = await settings.client(door, "postfix");
      const file = (start: string): string =>
        moved(client.files.find(({ name }) => name.startsWith(`/etc/postfix/${start}`))?.text ?? "");
      await sends(`${file("main.cf, for one sender")}${native}relayhost = [127.0.0.1]:9\n`, {
        services: file("master.cf"),
        files: { sasl_passwd: file("sasl_passwd"), sender_transport: file("sender_transport") },
      });
    });
  });

  test.skipIf(!real("python3"))("Python reads the profile and the XML", async () => {
    const incoming = ["--incoming", "imap.example.net:1993"];
    const profile = await settings.printed(door, "--format", "mobileconfig", ...incoming);
    const script =
      "import json, plistlib, sys; print(json.dumps(plistlib.loads(sys.stdin.buffer.read(), fmt=plistlib.FMT_XML)))";
    expect(JSON.parse(await runWell("python3", ["-c", script], profile))).toMatchObject({
      PayloadType: "Configuration",
      PayloadContent: [
        {
          PayloadType: "com.apple.mail.managed",
          EmailAddress: "user1@example.org",
          IncomingMailServerHostName: "imap.example.net",
          IncomingMailServerPortNumber: 1993,
          OutgoingMailServerHostName: "localhost",
          OutgoingMailServerPortNumber: relay[door],
          OutgoingMailServerUsername: "user1",
        },
      ],
    });
    const find =
      "import sys, xml.etree.ElementTree as tree; print(tree.fromstring(sys.stdin.read()).find(sys.argv[1]).text)";
    const autoconfig = await settings.printed(door, "--format", "config-v1.1.xml", ...incoming);
    const port = await runWell("python3", ["-c", find, ".//outgoingServer/port"], autoconfig);
    expect(Number(port)).toBe(relay[door]);
    const autodiscover = await settings.printed(door, "--format", "autodiscover", ...incoming);
    const login = await runWell("python3", ["-c", find, ".//{*}LoginName"], autodiscover);
    expect(login).toBe("user1\n");
  });
});

test.skipIf(!real("openssl"))("TLSA is what openssl makes of the certificate", async () => {
  const script = `openssl x509 -in "$0" -noout -pubkey | openssl pkey -pubin -outform DER | openssl sha256 -r`;
  const [digest = ""] = (await runWell("sh", ["-c", script, relay.certificate])).split(" ");
  const zone = await settings.printed("submissions", "--dns");
  expect(zone).toContain(`_${relay.submissions}._tcp.relay.example.org. IN TLSA 3 1 1 ${digest}\n`);
});

test("the site is written and written again, and what cannot be is said in one line", async () => {
  const folder = join(relay.folder, "site");
  for (const login of ["user1", "user2"]) {
    const { status, stderr } = await settings.run("submission", "--site", folder, "--login", login);
    expect([status, stderr]).toEqual([
      0,
      expect.stringMatching(/^tpa-submit settings: \d+ pages written to /),
    ]);
  }
  expect(await readFile(join(folder, "thunderbird.html"), "utf8")).toContain("<td>user2</td>");
  await rm(folder, { recursive: true });
  for (const wrong of [relay.certificate, join(relay.folder, "not/there"), "/proc/tpa-submit"]) {
    const { status, stderr } = await settings.run("submission", "--site", wrong);
    expect([wrong, status]).toEqual([wrong, 73]);
    expect(stderr).toMatch(/^tpa-submit settings: the site cannot be written to .*\n$/);
  }
});

test("what is missing or does not go together is said in one line", async () => {
  const lone = await settings.run("submission", "--format", "config-v1.1.xml");
  expect([lone.status, lone.stderr]).toEqual([
    0,
    expect.stringContaining("take no settings for sending alone"),
  ]);
  const profile = await settings.run("submission", "--format", "mobileconfig");
  expect([profile.status, profile.stdout]).toEqual([64, ""]);
  expect(profile.stderr).toContain("Apple takes no profile for sending alone");
  const two = await settings.run("submission", "--dns", "--json");
  expect([two.status, two.stdout]).toEqual([64, ""]);
});
