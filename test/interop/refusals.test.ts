/**
 * The mail programs that people use, when something is wrong: a password, a sender. Each must end as failed and show
 * what we say, so that its user can tell what to do; and each must have sent fine with the same settings before.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createTransport } from "nodemailer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { type Ended, run } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { capturingHop, type Hop } from "./hops.ts";

/** What a client is to send, and as whom. */
interface Attempt {
  readonly from: string;
  readonly password: string;
  /** The subject. */
  readonly token: string;
}

interface Client {
  readonly programs: readonly string[];
  readonly send: (relay: Relay, attempt: Attempt) => Promise<Ended>;
  /** What it shows where a password is wrong, if not our own words. */
  readonly wrongPassword?: RegExp;
}

const to = "x@example.net";

/** For those who take a whole message. */
const letter = ({ from, token }: Attempt): string =>
  `From: ${from}\nTo: ${to}\nSubject: ${token}\nDate: Sun, 22 Nov 2026 12:00:00 +0000\n\nhello\n`;

async function fileWith(relay: Relay, name: string, text: string): Promise<string> {
  const path = join(relay.folder, name);
  await writeFile(path, text, { mode: 0o600 }); // there are passwords in some
  return path;
}

const clients: Readonly<Record<string, Client>> = {
  swaks: {
    programs: ["swaks"],
    async send(relay, attempt) {
      const words = [
        ...["-s", `127.0.0.1:${relay.submission}`, "-tls", "-f", attempt.from, "-t", to, "-au", "user1"],
        ...["-ap", attempt.password, "--data", await fileWith(relay, "letter", letter(attempt))],
      ];
      return run("swaks", words);
    },
  },
  msmtp: {
    programs: ["msmtp"],
    async send(relay, attempt) {
      const settings = `account default
host localhost
port ${relay.submission}
auth on
tls on
tls_trust_file ${relay.certificate}
from ${attempt.from}
user user1
password ${attempt.password}
`;
      return run("msmtp", ["-C", await fileWith(relay, "msmtprc", settings), to], letter(attempt));
    },
  },
  "curl --verbose": {
    programs: ["curl"],
    async send(relay, attempt) {
      const settings = `user = "user1:${attempt.password}"\ncacert = "${relay.certificate}"\n`;
      const file = await fileWith(relay, "letter", letter(attempt).replaceAll("\n", "\r\n"));
      const words = ["--mail-from", attempt.from, "--mail-rcpt", to, "--upload-file", file];
      const url = `smtps://localhost:${relay.submissions}`;
      return run("curl", ["--verbose", "--config", "-", ...words, url], settings);
    },
  },
  "Python's smtplib": {
    programs: ["python3"],
    async send(relay, attempt) {
      const script = fileURLToPath(new URL("send.py", import.meta.url));
      const password = await fileWith(relay, "given-password", attempt.password);
      const file = await fileWith(relay, "letter", letter(attempt).replaceAll("\n", "\r\n"));
      const words = [`${relay.submission}`, relay.certificate, password, file, attempt.from];
      return run("python3", [script, "starttls", ...words]);
    },
  },
  "s-nail": {
    programs: ["s-nail"],
    async send(relay, { from, password, token }) {
      const settings = `set v15-compat mta=smtps://user1:${password}@localhost:${relay.submissions} smtp-auth=login
set tls-ca-file=${relay.certificate} tls-ca-no-defaults tls-verify=strict from=${from} sendwait record=/dev/null
set save=/dev/null DEAD=/dev/null\n`;
      const file = await fileWith(relay, "mailrc", settings);
      return run("s-nail", ["-:u", "-s", token, to], "hello\n", { MAILRC: file });
    },
  },
  mutt: {
    programs: ["mutt"],
    wrongPassword: /SASL authentication failed/,
    async send(relay, { from, password, token }) {
      const settings = `set from=${from} use_from=yes use_envelope_from=yes record="" copy=no
set smtp_url="smtp://user1@localhost:${relay.submission}" smtp_pass="${password}" ssl_force_tls=yes
set certificate_file="${relay.certificate}"\n`;
      const file = await fileWith(relay, "muttrc", settings);
      return run("mutt", ["-n", "-F", file, "-s", token, "--", to], "hello\n", { HOME: relay.folder });
    },
  },
  nodemailer: {
    programs: [],
    async send(relay, { from, password, token }) {
      const transport = createTransport({
        host: "localhost",
        port: relay.submissions,
        secure: true,
        auth: { user: "user1", pass: password },
        tls: { ca: await readFile(relay.certificate) },
      });
      try {
        await transport.sendMail({ from, to, subject: token, text: "hello" });
        return { status: 0, stdout: "", stderr: "" };
      } catch (error) {
        return { status: 1, stdout: "", stderr: String(error) };
      } finally {
        transport.close();
      }
    },
  },
  "git send-email with STARTTLS": gitSendEmail("tls"),
  "git send-email with TLS": gitSendEmail("ssl"),
};

function gitSendEmail(encryption: "tls" | "ssl"): Client {
  return {
    programs: ["git send-email"],
    async send(relay, attempt) {
      const settings = `[user]
name = User One
email = ${attempt.from}
[sendemail]
from = ${attempt.from}
smtpServer = localhost
smtpServerPort = ${encryption === "tls" ? relay.submission : relay.submissions}
smtpEncryption = ${encryption}
smtpSSLCertPath = ${relay.certificate}
smtpUser = user1
smtpPass = ${attempt.password}
`;
      const file = await fileWith(relay, "gitconfig", settings);
      const patch = await fileWith(
        relay,
        "0001.patch",
        letter(attempt).replaceAll(/^(?:To|Date): .*\n/gm, ""),
      );
      const words = ["send-email", "--to", to, "--confirm=never", "--suppress-cc=all", patch];
      return run("git", words, "", { GIT_CONFIG_GLOBAL: file, HOME: relay.folder });
    },
  };
}

describe.for(Object.entries(clients))("%s", ([, { programs, send, wrongPassword = /e-mail password/ }]) => {
  const isUsable = real(...programs);
  let hop: Hop;
  let relay: Relay;

  beforeAll(async () => {
    hop = await capturingHop();
    relay = await startRelay(`[delivery]\n${hop.delivery}`);
  });
  afterAll(async () => {
    await relay?.stop();
    await hop?.stop();
  });

  test.skipIf(!isUsable)("sends", async () => {
    const attempt = { from: "user1@example.org", password: relay.password, token: crypto.randomUUID() };
    const { status, stdout, stderr } = await send(relay, attempt);
    expect(status, stdout + stderr).toBe(0);
    expect(await hop.arrived(attempt.token)).toMatch(/^Received: from authenticated-user by relay/);
  });

  test.skipIf(!isUsable)("shows what we say to a wrong password", async () => {
    const attempt = { from: "user1@example.org", password: "not-this-one", token: crypto.randomUUID() };
    const { status, stdout, stderr } = await send(relay, attempt);
    expect(status).not.toBe(0);
    expect(stdout + stderr).toMatch(wrongPassword);
    expect(relay.log()).toMatch(/SASL (?:PLAIN|LOGIN) authentication failed/);
  });

  test.skipIf(!isUsable)("shows whose addresses may be used", async () => {
    const attempt = { from: "boss@example.org", password: relay.password, token: crypto.randomUUID() };
    const { status, stdout, stderr } = await send(relay, attempt);
    expect(status).not.toBe(0);
    expect(stdout + stderr).toMatch(/user1@example\.org/);
    expect(stdout + stderr).toMatch(/boss@example\.org/);
  });
});
