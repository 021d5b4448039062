/**
 * The mail programs that people use, on one side, next hops on the other: what the one sends arrives at the other
 * byte for byte below the field that we add.
 */
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { createTransport } from "nodemailer";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { capturingHop, type Hop, postfixHop, smtpSinkHop } from "./hops.ts";
import { expectUnchanged, newLetter } from "./letter.ts";
import { realPostfix } from "./root.ts";

const from = "user1@example.org";
const to = "x@example.net";

interface Client {
  readonly name: string;
  /** The program, where it is not Node itself. */
  readonly program?: string;
  readonly send: (relay: Relay, octets: Buffer) => Promise<unknown>;
}

const clients: readonly Client[] = [
  // The very words of the manual, with the message added.
  swaks("swaks -tls", ({ submission }) => ["-p", `${submission}`, "-tls"]),
  swaks("swaks -tlsc", ({ submissions }) => ["-p", `${submissions}`, "-tlsc"]),
  swaks("swaks with AUTH PLAIN", ({ submission }) => ["-p", `${submission}`, "-tls", "-a", "PLAIN"]),
  swaks("swaks with AUTH LOGIN", ({ submissions }) => ["-p", `${submissions}`, "-tlsc", "-a", "LOGIN"]),
  swaks("swaks with user1@domain", ({ submission }) => ["-p", `${submission}`, "-tls", "-au", from]),
  msmtp("msmtp with STARTTLS", ({ submission }) => `port ${submission}`),
  msmtp("msmtp with tls_starttls off", ({ submissions }) => `port ${submissions}\ntls_starttls off`),
  curl("curl smtp:// --ssl-reqd", ({ submission }) => `smtp://localhost:${submission}`),
  curl("curl smtps://", ({ submissions }) => `smtps://localhost:${submissions}`),
  smtplib("Python's smtplib with starttls", "starttls"),
  smtplib("Python's SMTP_SSL", "ssl"),
  smtplib("Python's smtplib with SMTPUTF8 and 8BITMIME", "smtputf8"),
  nodemailer("nodemailer with STARTTLS", false),
  nodemailer("nodemailer with TLS", true),
];

const hops: readonly (readonly [string, () => Promise<Hop>, boolean])[] = [
  ["a hop that keeps the octets", capturingHop, true],
  ["Postfix's smtp-sink", smtpSinkHop, real("smtp-sink")],
  ["a real Postfix that wants STARTTLS and a login", postfixHop, realPostfix("dovecot lmtp")],
];

for (const [hopName, startHop, usable] of hops) {
  describe.skipIf(!usable)(`to ${hopName}, unchanged from`, () => {
    let hop: Hop;
    let relay: Relay;

    beforeAll(async () => {
      hop = await startHop();
      relay = await startRelay(`[delivery]\n${hop.delivery}\nretry-first = "1s"`);
    });
    afterAll(async () => {
      await relay?.stop();
      await hop?.stop();
    });

    for (const { name, program, send } of clients) {
      test.skipIf(program !== undefined && !real(program))(name, async () => {
        const { token, octets } = newLetter();
        await send(relay, octets);
        expectUnchanged(await hop.arrived(token), octets);
      });
    }

    test.skipIf(!real("s-nail"))("s-nail, which writes the message itself", async () => {
      const token = crypto.randomUUID();
      const settings = join(relay.folder, "mailrc");
      await writeFile(
        settings,
        `set v15-compat mta=smtps://user1:${relay.password}@localhost:${relay.submissions} smtp-auth=login
set tls-ca-file=${relay.certificate} tls-ca-no-defaults tls-verify=strict from=${from} sendwait record=/dev/null\n`,
        { mode: 0o600 },
      );
      await runWell("s-nail", ["-:u", "-s", token, to], "from s-nail\nthe end\n", { MAILRC: settings });
      const arrived = await hop.arrived(token);
      expect(arrived).toMatch(/^Received: from authenticated-user by relay\.example\.org\r\n/);
      expect(arrived).toContain("\r\n\r\nfrom s-nail\r\nthe end\r\n");
    });
  });
}

function swaks(name: string, words: (relay: Relay) => readonly string[]): Client {
  return {
    name,
    program: "swaks",
    async send(relay, octets) {
      const message = join(relay.folder, "letter");
      await writeFile(message, octets);
      const login = ["-au", "user1", "-ap", relay.password];
      await runWell("swaks", [
        "-f",
        from,
        "-t",
        to,
        "-s",
        "127.0.0.1",
        ...login,
        "--data",
        `@${message}`,
        ...words(relay),
      ]);
    },
  };
}

function msmtp(name: string, door: (relay: Relay) => string): Client {
  return {
    name,
    program: "msmtp",
    async send(relay, octets) {
      const settings = join(relay.folder, "msmtprc");
      await writeFile(
        settings,
        `defaults
auth on
protocol smtp
tls on
tls_trust_file ${relay.certificate}
account example
host localhost
from ${from}
user user1
passwordeval cat ${relay.folder}/password
${door(relay)}
account default : example
`,
        { mode: 0o600 },
      );
      const lines = octets.toString().replaceAll("\r\n", "\n");
      await runWell("msmtp", ["-C", settings, to], `${lines}\n`);
    },
  };
}

function curl(name: string, url: (relay: Relay) => string): Client {
  return {
    name,
    program: "curl",
    async send(relay, octets) {
      const message = join(relay.folder, "letter");
      await writeFile(message, Buffer.concat([octets, Buffer.from("\r\n")]));
      // From standard input, so that the password is in no list of processes.
      const settings = `user = "user1:${relay.password}"\ncacert = "${relay.certificate}"\n`;
      const words = ["--ssl-reqd", "--mail-from", from, "--mail-rcpt", to, "--upload-file", message];
      await runWell("curl", ["--silent", "--show-error", "--config", "-", ...words, url(relay)], settings);
    },
  };
}

function smtplib(name: string, mode: string): Client {
  return {
    name,
    program: "python3",
    async send({ folder, certificate, submission, submissions }, octets) {
      const message = join(folder, "letter");
      await writeFile(message, Buffer.concat([octets, Buffer.from("\r\n")]));
      const script = fileURLToPath(new URL("send.py", import.meta.url));
      const port = mode === "ssl" ? submissions : submission;
      await runWell("python3", [script, mode, `${port}`, certificate, join(folder, "password"), message]);
    },
  };
}

function nodemailer(name: string, secure: boolean): Client {
  return {
    name,
    async send({ submission, submissions, certificate, password }, octets) {
      const transport = createTransport({
        host: "localhost",
        port: secure ? submissions : submission,
        secure,
        requireTLS: true,
        auth: { user: "user1", pass: password },
        tls: { ca: await readFile(certificate) },
      });
      await transport.sendMail({ envelope: { from, to }, raw: octets });
      transport.close();
    },
  };
}
