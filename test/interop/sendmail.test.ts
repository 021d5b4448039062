/**
 * Programs of Debian that hand mail to sendmail(8): each calls ours as it calls any, by the path that it knows. cron knows only
 * /usr/sbin/sendmail, so it runs in a mount namespace of its own, where ours has that name.
 */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { run, runWell, start } from "../tools/child.mjs";
import { pathOf, real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { realAsRoot } from "./root.ts";

const me = userInfo().username;
const to = "x@example.net";

let relay: Relay;
let sendmail: string;

/** A program that runs ours with `words` in front. */
async function wrapper(name: string, words = ""): Promise<string> {
  const path = join(relay.folder, name);
  const maildrop = join(relay.folder, "maildrop");
  await writeFile(
    path,
    `#!/bin/sh\nTPA_SUBMIT_MAILDROP=${maildrop} exec ${process.execPath} ${program} sendmail ${words} "$@"\n`,
  );
  await chmod(path, 0o755);
  return path;
}

beforeAll(async () => {
  relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = ""
local = "FOLDER/local"
[sendmail]
maildrop = "FOLDER/maildrop"
[senders]
local = "FOLDER/senders"`);
  await chmod(relay.folder, 0o755);
  await mkdir(join(relay.folder, "maildrop"));
  await chmod(join(relay.folder, "maildrop"), 0o3777);
  await writeFile(join(relay.folder, "senders"), `${me}: ${me}@relay.example.org, *\n`);
  sendmail = await wrapper("sendmail");
  await relay.start();
});
afterAll(() => relay?.stop());

/** The message that has the token in it, as delivered. */
const arrived = (token: string): Promise<string> =>
  until(`${token} to arrive`, async () => {
    for (const name of (await readdir(relay.delivered)).filter((one) => !one.startsWith("."))) {
      const text = await readFile(join(relay.delivered, name), "utf8");
      if (text.includes(token)) return text;
    }
    return undefined;
  });

/** Runs a script where our sendmail has the name that all of Debian's programs know. */
async function withSendmail(
  script: string,
  environment: Readonly<Record<string, string>> = {},
): Promise<string> {
  const mount = `mount --make-rprivate / && mount --bind ${sendmail} "$(readlink -f /usr/sbin/sendmail)"`;
  return runWell("unshare", ["--mount", "sh", "-c", `${mount} && ${script}`], "", environment);
}

describe("mail that is handed to sendmail by", () => {
  test.skipIf(!real("php"))("PHP's mail()", async () => {
    const token = crypto.randomUUID();
    const call = `exit(mail("${to}", "${token}", "One.\\nTwo.\\n", ["From" => "shop@example.org"], "-fshop@example.org") ? 0 : 1);`;
    await runWell("php", ["-n", "-d", `sendmail_path=${sendmail} -t -i`, "-r", call]);
    expect(await arrived(token)).toContain("\r\n\r\nOne.\r\nTwo.\r\n");
    await relay.logged(/from=<shop@example\.org>, size=/);
  });

  test.skipIf(!real("mutt"))("mutt", async () => {
    const token = crypto.randomUUID();
    const words = [
      "-n",
      "-F",
      "/dev/null",
      "-e",
      `set sendmail="${sendmail} -oem -oi" copy=no from=${me}@relay.example.org use_envelope_from=yes`,
    ];
    await runWell("mutt", [...words, "-s", token, to], "From mutt.\n.\nAfter a dot.\n", {
      HOME: relay.folder,
    });
    expect(await arrived(token)).toContain("From mutt.\r\n.\r\nAfter a dot.");
  });

  test.skipIf(!real("s-nail"))("s-nail", async () => {
    const token = crypto.randomUUID();
    const settings = join(relay.folder, "mailrc");
    await writeFile(
      settings,
      `set v15-compat mta=${sendmail} sendwait record=/dev/null from=${me}@relay.example.org\n`,
    );
    await runWell("s-nail", ["-:u", "-s", token, to], "from s-nail\n", { MAILRC: settings });
    expect(await arrived(token)).toContain("\r\n\r\nfrom s-nail\r\n");
  });

  test.skipIf(!real("git send-email"))("git send-email", async () => {
    const token = crypto.randomUUID();
    const patch = join(relay.folder, "0001-a.patch");
    await writeFile(
      patch,
      `From 0 Mon Sep 17 00:00:00 2001\nFrom: Me <me@example.org>\nSubject: [PATCH] ${token}\n\nA line.\n`,
    );
    const words = [
      "-c",
      `sendemail.sendmailCmd=${sendmail}`,
      "-c",
      "user.name=Me",
      "-c",
      "user.email=me@example.org",
    ];
    await runWell(
      "git",
      [...words, "send-email", "--quiet", "--confirm=never", "--suppress-cc=all", "--to", to, patch],
      "",
      {
        HOME: relay.folder,
      },
    );
    expect(await arrived(token)).toContain(`Subject: [PATCH] ${token}\r\n`);
  });

  test.skipIf(!real("python3"))("Python, as unattended-upgrades and apt-listchanges call it", async () => {
    const token = crypto.randomUUID();
    const script = `import subprocess,email.message
m=email.message.EmailMessage(); m["To"]="${to}"; m["Subject"]="${token}"; m["From"]="${me}"; m.set_content("upgraded\\n")
subprocess.run(["${sendmail}","-oi","-t"],input=m.as_bytes(),check=True)`;
    await runWell("python3", ["-c", script]);
    expect(await arrived(token)).toContain(`From: ${me}@relay.example.org\r\n`);
  });

  test.skipIf(!realAsRoot("smartd_warning.sh", "bsd-mailx", "unshare"))(
    "smartd, by its own script and Debian's runner",
    async () => {
      const token = crypto.randomUUID();
      // As smartd sets them for `-M test`; `-M exec /usr/share/smartmontools/smartd-runner` is Debian's.
      const words = {
        SMARTD_MAILER: "/usr/share/smartmontools/smartd-runner",
        SMARTD_ADDRESS: to,
        SMARTD_MESSAGE: `TEST EMAIL from smartd for device: /dev/sda ${token}`,
        SMARTD_FAILTYPE: "EmailTest",
        SMARTD_PREVCNT: "0",
        SMARTD_NEXTDAYS: "",
        SMARTD_TFIRST: "",
        SMARTD_DEVICEINFO: "a disk",
      };
      await withSendmail(`exec /usr/share/smartmontools/smartd_warning.sh`, words);
      const text = await arrived(token);
      expect(text).toMatch(/^Subject: SMART error \(EmailTest\) detected on host: /m);
      expect(text).toMatch(/^To: x@example\.net\r$/m);
      expect(text).toContain("This message was generated by the smartd daemon running on:\r\n");
    },
  );

  test.skipIf(!realAsRoot("apt-listchanges", "dpkg-deb", "unshare"))("apt-listchanges", async () => {
    const token = crypto.randomUUID();
    const tree = join(relay.folder, "listed");
    const about = join(tree, "usr/share/doc/listed");
    await mkdir(about, { recursive: true });
    await mkdir(join(tree, "DEBIAN"));
    await writeFile(
      join(tree, "DEBIAN/control"),
      "Package: listed\nVersion: 2\nArchitecture: all\nMaintainer: Me <me@example.org>\nDescription: for a test\n",
    );
    await writeFile(
      join(about, "NEWS.Debian"),
      `listed (2) unstable; urgency=low\n\n  * ${token} grüßt.\n\n -- Me <me@example.org>  Sun, 29 Nov 2026 12:00:00 +0000\n`,
    );
    await runWell("gzip", ["-9n", join(about, "NEWS.Debian")]);
    await runWell("dpkg-deb", ["--root-owner-group", "-b", tree, `${tree}.deb`]);
    const listchanges = pathOf("apt-listchanges") ?? "";
    const words = `--frontend=mail --email-address=${to} --show-all --which=news ${tree}.deb`;
    await withSendmail(`exec ${listchanges} ${words}`, {
      PYTHONPATH: join(dirname(listchanges), "../share/apt-listchanges"), // where it is unpacked only
    });
    const text = await arrived(token);
    expect(text).toContain(`${token} grüßt.\r\n`);
    expect(text).toMatch(/^Auto-Submitted: auto-generated\r$/m);
    expect(text).toMatch(/^From: .*root@relay\.example\.org/m);
  });

  test.skipIf(!realAsRoot("unattended-upgrade", "unshare"))("unattended-upgrades", async () => {
    const token = crypto.randomUUID();
    const path = pathOf("unattended-upgrade") ?? "";
    // Its own report, as it sends it at the end of a run; the run itself would upgrade this host.
    const script = `from importlib.machinery import SourceFileLoader
from importlib.util import module_from_spec, spec_from_loader
from io import StringIO
loader = SourceFileLoader("uu", "${path}"); uu = module_from_spec(spec_from_loader("uu", loader)); loader.exec_module(uu)
uu.apt_pkg.init_config(); uu.apt_pkg.config.set("Unattended-Upgrade::Mail", "${to}"); uu.apt_pkg.config.set("Unattended-Upgrade::MailReport", "always")
uu.send_summary_mail(["hello"], True, "All upgrades installed", uu.KeptPkgs(set), [], [], StringIO("${token}\\n.\\nAfter a dot: grün\\n"), "")
`;
    await writeFile(join(relay.folder, "report.py"), script);
    await withSendmail(`exec /usr/bin/python3 ${join(relay.folder, "report.py")}`);
    const text = await arrived(token);
    expect(text).toMatch(/^Subject: unattended-upgrades result for .*: SUCCESS\r$/m);
    expect(text).toMatch(/\r\n\.?\.\r\nAfter a dot: gr=C3=BCn\r\n/);
    expect(text).toMatch(/^From: root@relay\.example\.org\r$/m);
  });

  test.skipIf(!real("logwatch"))("logwatch", async () => {
    await runWell(
      "logwatch",
      [
        "--output",
        "mail",
        "--mailto",
        to,
        "--range",
        "all",
        "--service",
        "http-error",
        "--detail",
        "0",
        "--logdir",
        relay.folder,
      ],
      "",
      {
        mailer: `${sendmail} -t`,
      },
    ).catch(() => undefined); // it may have nothing to tell
    const token = crypto.randomUUID();
    await runWell("sh", [
      "-c",
      `printf 'To: ${to}\\nSubject: Logwatch ${token}\\n\\nreport\\n' | ${sendmail} -t`,
    ]);
    expect(await arrived(token)).toContain("report");
  });

  test.skipIf(!realAsRoot("cron", "unshare"))("cron", async () => {
    const token = crypto.randomUUID();
    const folder = await mkdtemp("/run/tpa-submit-cron-");
    await writeFile(join(folder, "crontab"), `MAILTO=${to}\n@reboot root echo ${token}\n`);
    // Where /run says nothing of a start of cron's, the host has just been started.
    const script = `mount --make-rprivate / &&
mount -t tmpfs tmpfs /var/spool/cron && mkdir -m 1730 /var/spool/cron/crontabs &&
mkdir ${folder}/cron.d && mount --bind ${folder}/cron.d /etc/cron.d && mount --bind ${folder}/crontab /etc/crontab &&
mount --bind ${sendmail} "$(readlink -f /usr/sbin/sendmail)" &&
mount -t tmpfs tmpfs /run && exec cron -f`;
    const child = start("unshare", ["--mount", "--pid", "--fork", "--kill-child", "sh", "-c", script]);
    try {
      const text = await arrived(token);
      expect(text).toMatch(/^From: "?Cron Daemon"? <root@relay\.example\.org>\r$/m);
      expect(text).toContain(`Subject: Cron <root@`);
    } finally {
      process.kill(child.pid, "SIGKILL"); // the first process of its namespace heeds nothing else
      await child.stop(true);
      await rm(folder, { recursive: true });
    }
  });
});

test.skipIf(!realAsRoot("check_mailq"))("check_mailq counts what waits", async () => {
  const mailq = await wrapper("mailq", "-bp");
  await mkdir("/run/tpa-submit-mailq", { recursive: true });
  const plugin = "/usr/lib/nagios/plugins/check_mailq";
  const script = `mount --make-rprivate / && mount --bind ${mailq} "$(readlink -f "$(command -v mailq)")" &&
mkdir -p /run/tpa-submit-mailq/etc && cp ${relay.config} /run/tpa-submit-mailq/etc/tpa-submit.toml &&
mkdir -p /etc/tpa-submit && mount --bind /run/tpa-submit-mailq/etc /etc/tpa-submit && exec ${plugin} -M postfix -w 1 -c 5`;
  const { status, stdout } = await run("unshare", ["--mount", "sh", "-c", script]);
  expect([stdout, status]).toEqual([expect.stringMatching(/^OK: postfix mailq reports queue is empty/), 0]);
});
