/** The recipes of `tpa-submit settings` that are no --format, as they stand, in the programs they are for: mail arrives. */
import { chmod, copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { prepareRelay, type Relay } from "../../demo/relay.mjs";
import { type Ended, run, runWell } from "../tools/child.mjs";
import { pathOf, phpMailer, real } from "../tools/real.ts";
import { socksProxy } from "../tools/socks.ts";
import { capturingHop, type Hop } from "./hops.ts";
import { newLetter } from "./letter.ts";
import { doors, type PrintedSettings, printedSettings } from "./printed-settings.ts";
import { realExim, realOpenSmtpd, withOpenSmtpd } from "./receivers.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let hop: Hop;
let relay: Relay;

beforeAll(async () => {
  hop = await capturingHop();
  const domains = '[[domains]]\nname = "example.net"\npassword-file = "FOLDER/net-passwords"';
  relay = await prepareRelay(`[delivery]\n${hop.delivery}\n${domains}`);
  // user1 of either has the same password.
  await copyFile(join(relay.folder, "mail-passwords"), join(relay.folder, "net-passwords"));
  await relay.start();
});
afterAll(async () => {
  await relay?.stop();
  await hop?.stop();
});

const people = ["user1", "user1@example.net"] as const;

describe.each(doors.flatMap((door) => people.map((login) => ({ door, login }))))(
  "the recipes for $door and $login",
  ({ door, login }) => {
    const address = login.includes("@") ? login : `${login}@example.org`;
    let settings: PrintedSettings;
    beforeAll(async () => {
      settings = await printedSettings(relay, login);
    });

    function letter(): { readonly token: string; readonly lines: string } {
      const { token, octets } = newLetter();
      const lines = octets.toString().replaceAll("\r\n", "\n").replace("user1@example.org", address);
      return { token, lines: `${lines}\n` };
    }

    /** The file of a client whose name begins so, or its first one. */
    async function file(client: string, start = ""): Promise<string> {
      const { files } = await settings.client(door, client);
      const found = files.find(({ name }) => name.startsWith(start));
      if (found === undefined) throw new Error(`${client} has no file ${start}`);
      return found.text;
    }

    test.skipIf(!real("s-nail"))("s-nail takes ~/.mailrc and ~/.netrc", async () => {
      const token = crypto.randomUUID();
      const trust = `set tls-ca-file=${relay.certificate} tls-ca-no-defaults\n`;
      const lines = `${await file("s-nail")}set netrc-lookup sendwait record=/dev/null\n${trust}`;
      // As root s-nail asks for no HOME.
      const environment = { MAILRC: join(relay.folder, "mailrc"), NETRC: join(relay.folder, "netrc") };
      await writeFile(environment.MAILRC, lines, { mode: 0o600 });
      const netrc = (await file("s-nail", "~/.netrc")).replace("PASSWORD", relay.password);
      await writeFile(environment.NETRC, netrc, { mode: 0o600 });
      await runWell("s-nail", ["-:u", "-s", token, "x@example.net"], "hello\n", environment);
      expect(await hop.arrived(token)).toMatch(`\r\nFrom: ${address}\r\n`);
    });

    test.skipIf(!real("neomutt"))("neomutt takes muttrc", async () => {
      const token = crypto.randomUUID();
      const trust = `set certificate_file="${relay.certificate}"; set record="" copy=no`;
      const path = await settings.fileOf(door, "muttrc");
      const words = ["-n", "-F", path, "-e", trust, "-s", token, "--", "x@example.net"];
      await runWell("neomutt", words, "hello\n", settings.environment);
      expect(await hop.arrived(token)).toMatch(new RegExp(`^From: .*${address}`, "m"));
    });

    test.skipIf(!real("swaks"))("swaks takes the command line, and asks for the password", async () => {
      const token = crypto.randomUUID();
      const [line = ""] = (await settings.client(door, "swaks")).steps;
      const [program = "", ...words] = line.split(" ");
      expect(program).toBe("swaks");
      const more = ["--tls-ca-path", relay.certificate, "--h-Subject", token, "--protect-prompt"];
      await runWell(program, [...more, ...words], `${relay.password}\n`);
      await hop.arrived(token);
    });

    test.skipIf(!real("python3"))("Python runs the program", async () => {
      const token = crypto.randomUUID();
      const program = (await file("python")).replace('"Test"', `"${token}"`);
      const environment = { MAIL_PASSWORD: relay.password, SSL_CERT_FILE: relay.certificate };
      await runWell("python3", ["-"], program, environment);
      expect(await hop.arrived(token)).toContain(`\r\nFrom: ${address}\r\n`);
    });

    test.skipIf(!real("php", "php phpmailer"))("PHPMailer takes its settings", async () => {
      const token = crypto.randomUUID();
      const rest = `$mail->addAddress('x@example.net'); $mail->Subject = '${token}'; $mail->Body = 'hello'; $mail->send();`;
      const program = `<?php require '${phpMailer}';\n${await file("phpmailer")}${rest}\n`;
      const trust = ["-d", `openssl.cafile=${relay.certificate}`];
      await runWell("php", trust, program, { MAIL_PASSWORD: relay.password });
      expect(await hop.arrived(token)).toMatch(new RegExp(`^From: .*${address}`, "m"));
    });

    test.skipIf(!real("msmtp"))("msmtp goes through the proxy that Tor would be", async () => {
      const { token, lines: text } = letter();
      const proxy = await socksProxy();
      try {
        const lines = (await file("msmtp", "~/.msmtprc, over Tor")).replace("9050", String(proxy.port));
        const path = join(relay.folder, `${door}.tor`);
        await writeFile(path, lines, { mode: 0o600 });
        const words = ["-C", path, `--tls-trust-file=${relay.certificate}`, "x@example.net"];
        await runWell("msmtp", words, text, settings.environment);
        await hop.arrived(token);
        // By its name: to look it up beside Tor would tell others where the mail goes.
        expect(proxy.asked).toEqual([`localhost:${relay[door]}`]);
      } finally {
        await proxy.close();
      }
    });

    test.skipIf(!realExim())("Exim sends by its drivers", async () => {
      const { token, lines } = letter();
      const folder = await mkdtemp(join(tmpdir(), "tpa-submit-exim-"));
      try {
        await chmod(folder, 0o777); // Exim's own user writes there
        const drivers = (await file("exim"))
          .replace("/etc/exim4/submission-password", `${folder}/password`)
          .replace("/etc/ssl/certs/ca-certificates.crt", `${folder}/certificate.pem`)
          // The relay is on this host, which a server elsewhere is not.
          .replace("  no_more\n", "  no_more\n  self = send\n");
        const main = `primary_hostname = exim.example.net
exim_path = ${pathOf("exim4")}
spool_directory = ${folder}/spool
log_file_path = ${folder}/%slog
keep_environment =
domainlist local_domains = @
`;
        const config = join(folder, "exim.conf");
        await writeFile(config, `${main}${drivers}\nbegin retry\n* * F,1h,1s\n`);
        await writeFile(join(folder, "password"), relay.password);
        await writeFile(join(folder, "certificate.pem"), await readFile(relay.certificate));
        await runWell("exim4", ["-C", config, "-bV"]);
        const words = ["-C", config, "-odf", "-oi", "-f", address, "x@example.net"];
        const { stderr } = await run("exim4", words, lines);
        const log = await readFile(join(folder, "mainlog"), "utf8");
        expect(log, stderr).toMatch(/=> x@example\.net R=submission T=submission .* CV=yes .*A=submission /);
        await hop.arrived(token);
      } finally {
        await rm(folder, { recursive: true });
      }
    });

    test.skipIf(!realOpenSmtpd())("OpenSMTPD sends by its lines", async () => {
      const token = crypto.randomUUID();
      const folder = await mkdtemp(join(tmpdir(), "tpa-submit-opensmtpd-"));
      try {
        await chmod(folder, 0o755);
        const secrets = (await file("opensmtpd", "/etc/mail/secrets")).replace("PASSWORD", relay.password);
        await writeFile(join(folder, "secrets"), secrets, { mode: 0o640 });
        const lines = (await file("opensmtpd")).replace("/etc/mail/secrets", join(folder, "secrets"));
        await writeFile(join(folder, "smtpd.conf"), lines);
        const said = await withOpenSmtpd(
          folder,
          { "/etc/ssl/certs/ca-certificates.crt": relay.certificate },
          `smtpd -n -f "$1/smtpd.conf"
smtpd -d -f "$1/smtpd.conf" > "$1/log" 2>&1 &
# Who writes to its queue has its group.
cp "$2/usr/sbin/smtpctl" /run/sendmail && chgrp opensmtpq /run/sendmail && chmod 2755 /run/sendmail
for again in $(seq 50); do ! [ -S /run/smtpd.sock ] || break; sleep 0.2; done
printf 'From: ${address}\\nSubject: ${token}\\n\\nhello\\n' | /run/sendmail -f ${address} x@example.net
for again in $(seq 100); do ! grep -q " mta delivery " "$1/log" || break; sleep 0.2; done
cat "$1/log"`,
        );
        expect(said).toContain('result="Ok"');
        await hop.arrived(token);
      } finally {
        await rm(folder, { recursive: true });
      }
    });
  },
);

describe("a wrong password is told as the table has it, by", () => {
  let settings: PrintedSettings;
  beforeAll(async () => {
    settings = await printedSettings(relay);
  });
  const wrong = () => ({ MAIL_PASSWORD: "wrong", SSL_CERT_FILE: relay.certificate });

  /** What the client's first row of errors begins with is in what it said. */
  async function expectTold(client: string, { status, stdout, stderr }: Ended): Promise<void> {
    const { errors } = await settings.client("submissions", client);
    const [says = ""] = errors[0]?.says.split(/…|, exit status /) ?? [];
    expect(says).not.toBe("");
    expect([status === 0, `${stdout}${stderr}`]).toEqual([false, expect.stringContaining(says)]);
  }

  test.skipIf(!real("python3"))("Python", async () => {
    const [{ text } = { text: "" }] = (await settings.client("submissions", "python")).files;
    await expectTold("python", await run("python3", ["-"], text, wrong()));
  });

  test.skipIf(!real("php", "php phpmailer"))("PHPMailer", async () => {
    const [{ text } = { text: "" }] = (await settings.client("submissions", "phpmailer")).files;
    const rest = "$mail->addAddress('x@example.net'); $mail->Body = 'hello'; $mail->send();";
    const words = ["-d", `openssl.cafile=${relay.certificate}`, "-d", "display_errors=stderr"];
    const program = `<?php require '${phpMailer}';\n${text}${rest}\n`;
    await expectTold("phpmailer", await run("php", words, program, wrong()));
  });

  test.skipIf(!real("swaks"))("swaks", async () => {
    const [line = ""] = (await settings.client("submissions", "swaks")).steps;
    const words = ["--tls-ca-path", relay.certificate, "--protect-prompt", ...line.split(" ").slice(1)];
    const ended = await run("swaks", words, "wrong\n");
    await expectTold("swaks", ended);
    expect(ended.status).toBe(28);
  });

  test.skipIf(!real("msmtp"))("msmtp", async () => {
    const [{ text } = { text: "" }] = (await settings.client("submissions", "msmtp")).files;
    const file = join(relay.folder, "wrong.msmtprc");
    const lines = text.replace(/^passwordeval .*$/m, "passwordeval echo wrong");
    await writeFile(file, lines, { mode: 0o600 });
    const words = ["-C", file, `--tls-trust-file=${relay.certificate}`, "x@example.net"];
    const ended = await run("msmtp", words, "Subject: x\n\nhello\n");
    expect(ended.status).toBe(77);
    await expectTold("msmtp", ended);
  });
});
