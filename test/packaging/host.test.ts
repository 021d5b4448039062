/** The Debian package on a booted Debian 12: installed, worked, upgraded, removed. */
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test } from "vitest";
import { runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { certified } from "../tools/x509.ts";
import { bareDebian, bootHost, type Host, longestBoot } from "./host.ts";
import { packedFor } from "./packed.ts";

const settings = "/etc/tpa-submit/tpa-submit.toml";
const delivered = "/var/lib/tpa-submit/delivered";
const installer = "/usr/lib/tpa-submit/certificates/install-certificate";
const sockets = "tpa-submit-submission.socket tpa-submit-submissions.socket";

/** Not part of the gate: it takes minutes, and a host that reboots is not the same on each machine. docs/testing.md has its runs. */
const isWanted = process.env["TPA_SUBMIT_BOOT"] === "1";

async function debianToBoot(): Promise<Awaited<ReturnType<typeof bareDebian>>> {
  if (!isWanted) return { missing: "TPA_SUBMIT_BOOT=1 asks for it" };
  return real("dpkg-deb", "mmdebstrap", "nsenter") ? bareDebian("bookworm") : { missing: "programs" };
}

const bare = await debianToBoot();
if ("missing" in bare) process.stderr.write(`\n*** SKIPPED, no Debian is booted: ${bare.missing} ***\n`);

describe.skipIf("missing" in bare)("on a booted Debian 12, the package", () => {
  let folder = "";
  let packed = "";
  let host: Host;
  let password = "";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-packages-"));
    packed = await packedFor("debian12", folder);
  }, 300_000);
  afterAll(() => rm(folder, { recursive: true, force: true }));

  /** A host with the package installed and the relay at work, as README.Debian says. */
  async function begin(): Promise<void> {
    host = await bootHost("root" in bare ? bare.root : "");
    await host.put("/root/tpa-submit.deb", await readFile(packed));
    await host.well("apt-get install -q -y /root/tpa-submit.deb");
    await host.well(`cp ${settings} /root/as-shipped.toml`);
    await host.put(
      "/root/own.sed",
      `s|^# hostname = .*|hostname = "submission.example.org"|; s|^# domain = .*|domain = "example.org"|
s|^# relay = "mx".*|relay = "file:${delivered}"|`,
    );
    await host.well(`sed -i -f /root/own.sed ${settings}; install -d -o tpa-submit ${delivered}`);
    await certify("first", 60);
    await host.well(`${installer} /root/first/fullchain.pem /root/first/privkey.pem`);
    const { stderr } = await host.sh("tpa-submit passwd --set user1 --generate");
    password = /shown only now: (\S+)/.exec(stderr)?.[1] ?? stderr;
    await host.well(`cp ${settings} /root/good.toml; systemctl enable --now ${sockets} tpa-submit`);
  }

  async function certify(name: string, days: number): Promise<void> {
    const subject = "submission.example.org";
    const { cert, key } = certified({ subject, names: [`DNS:${subject}`], days, algorithm: "ec" });
    await host.well(`mkdir -p /root/${name}`);
    await host.put(`/root/${name}/fullchain.pem`, cert);
    await host.put(`/root/${name}/privkey.pem`, key);
  }

  const send = (): string =>
    `tpa-submit probe --server 127.0.0.1 --port 587 --tls --timeout 20 --auth PLAIN --auth-user user1 \
      --auth-password ${password} --from user1@example.org --to someone@example.net`;

  /** Sends one message, and waits until it is delivered. Resolves to its queue ID. */
  async function mailGoes(): Promise<string> {
    const { status, stdout, stderr } = await host.sh(send());
    expect(stdout + stderr).toMatch(/queued as \w+/);
    expect(status).toBe(0);
    const id = /queued as (\w+)/.exec(stdout)?.[1] ?? "";
    await until(`the delivery of ${id}`, async () =>
      (await host.sh(`test -e ${delivered}/${id}.eml`)).status === 0 ? true : undefined,
    );
    return id;
  }

  /** Three clients that send all the time while `action` goes on; what they were told, afterwards. */
  async function underLoad(action: () => Promise<void>): Promise<{ accepted: number; refused: string[] }> {
    await host.put(
      "/root/load.sh",
      `rm -rf /root/load; mkdir /root/load; touch /root/load/go
for client in 1 2 3; do
  (number=0; while [ -e /root/load/go ]; do
    number=$((number + 1)); ${send()} >/root/load/$client.$number 2>&1 || echo "ended with $?" >>/root/load/$client.$number
  done) &
done
wait`,
    );
    const clients = host.well("bash /root/load.sh");
    await until("the first message", async () =>
      (await host.sh("grep -q 'queued as' /root/load/*")).status === 0 ? true : undefined,
    );
    await action();
    await host.well("sleep 2; rm /root/load/go");
    await clients;
    const ids = (await host.well("grep -ho 'queued as [0-9A-Za-z]*' /root/load/* | cut -d ' ' -f 3"))
      .trim()
      .split("\n");
    await until("the delivery of all that was accepted", async () => {
      const there = new Set((await host.well(`ls ${delivered}`)).split("\n"));
      return ids.every((id) => there.has(`${id}.eml`)) ? true : undefined;
    });
    const refused = (await host.sh("grep -L 'queued as' /root/load/[0-9]* | xargs -r tail -n 4")).stdout;
    return { accepted: ids.length, refused: refused === "" ? [] : refused.split(/^==> .* <==$/m).slice(1) };
  }

  const mainPid = async (): Promise<string> =>
    (await host.well("systemctl show -P MainPID tpa-submit")).trim();
  const journal = (): Promise<string> => host.well("journalctl --no-pager -o cat -u tpa-submit");

  /** The package with another version and, where wanted, another preinst. */
  async function repacked(version: string, preinst = (text: string) => text): Promise<void> {
    const tree = join(folder, version);
    await runWell("dpkg-deb", ["-R", packed, tree]);
    const control = join(tree, "DEBIAN/control");
    await writeFile(
      control,
      (await readFile(control, "utf8")).replace(/^Version: .*/m, `Version: ${version}`),
    );
    const script = join(tree, "DEBIAN/preinst");
    await writeFile(script, preinst(await readFile(script, "utf8")));
    const file = join(folder, `${version}.deb`);
    await runWell("dpkg-deb", ["--root-owner-group", "-Znone", "-b", tree, file]);
    await host.put(`/root/${version}.deb`, await readFile(file));
    await rm(tree, { recursive: true });
    await rm(file);
  }

  const installed = (): Promise<string> => host.well("dpkg-query -W -f '$'{Status}' $'{Version} tpa-submit");

  describe("at work", () => {
    beforeAll(begin, 120_000);
    afterAll(() => host.stop());
    afterEach(async () => {
      // Whatever a test that failed left behind.
      const differs = (await host.sh(`cmp ${settings} /root/good.toml`)).status !== 0;
      if (differs) await host.well(`cp /root/good.toml ${settings}; systemctl restart tpa-submit`);
    });

    test("starts nothing by itself, then delivers; what the service must own, it owns", async () => {
      await mailGoes();
      const alien = "find /var/spool/tpa-submit /var/lib/tpa-submit /var/log/tpa-submit ! -user tpa-submit";
      expect(await host.well(alien)).toBe("");
      expect(
        await host.well("stat -c '%U:%G %a' /etc/tpa-submit/tls/ /etc/tpa-submit/tls/privkey.pem -L"),
      ).toBe("root:tpa-submit 750\nroot:tpa-submit 640\n");
      expect(await host.well("man -w tpa-submit tpa-submit-serve tpa-submit.toml")).toMatch(
        /^(?:.*\.gz\n){3}$/,
      );
      const units = await host.well("ls /usr/lib/systemd/system/tpa-submit*.service");
      for (const unit of units.trim().split("\n")) {
        expect((await host.well(`systemd-analyze verify ${unit} 2>&1`)).trim()).toBe("");
        const name = unit.split("/").at(-1) ?? "";
        const { status, stdout } = await host.sh(`systemd-analyze security --threshold=16 ${name}`);
        expect(status, stdout.trim().split("\n").at(-1)).toBe(0);
      }
    });

    test("comes back from kill -9, and from a standstill", async () => {
      const before = await mainPid();
      await host.well(`kill -9 ${before}`);
      await until("another process", async () => {
        const now = await mainPid();
        return now !== before && now !== "0" ? true : undefined;
      });
      await mailGoes();

      await host.well("mkdir -p /run/systemd/system/tpa-submit.service.d");
      await host.put("/run/systemd/system/tpa-submit.service.d/short.conf", "[Service]\nWatchdogSec=2\n");
      await host.well("systemctl daemon-reload; systemctl restart tpa-submit");
      const stopped = await mainPid();
      await host.well(`kill -STOP ${stopped}`);
      await until("the watchdog", async () => ((await mainPid()) !== stopped ? true : undefined));
      await until("a start", async () =>
        (await host.sh("systemctl is-active tpa-submit")).stdout === "active\n" ? true : undefined,
      );
      await host.well(
        "rm -r /run/systemd/system/tpa-submit.service.d; systemctl daemon-reload; systemctl restart tpa-submit",
      );
      await mailGoes();
    });

    test("loses nothing and turns nobody away in a restart and an upgrade under load", async () => {
      await repacked("0.1.1");
      const before = await mainPid();
      const { accepted, refused } = await underLoad(async () => {
        await host.well("systemctl reload tpa-submit; systemctl restart tpa-submit");
        await host.well("apt-get install -q -y /root/0.1.1.deb");
      });
      expect(await installed()).toBe("install ok installed 0.1.1");
      expect(await mainPid()).not.toBe(before);
      expect(accepted).toBeGreaterThan(3);
      // Whose session the restart met is told so; nobody meets a closed port.
      for (const told of refused) expect(told).toMatch(/421 4\.3\.2 /);
    });

    test("is not restarted into a configuration that the check refuses", async () => {
      await repacked("0.1.2");
      const before = await mainPid();
      await host.well(`sed -i 's/^hostname/hostnam/' ${settings}`);
      const { status, stdout, stderr } = await host.sh("apt-get install -q -y /root/0.1.2.deb");
      expect([status, await installed()]).toEqual([0, "install ok installed 0.1.2"]);
      expect(stdout + stderr).toMatch(/hostnam[\s\S]*NOT restarted/);
      expect(await mainPid()).toBe(before);
      await host.well(`sed -i 's/^hostnam /hostname /' ${settings}`);
      await mailGoes(); // by the program of before, whose files are gone
      await host.well("systemctl restart tpa-submit");
      await mailGoes();
    });

    test("keeps its sockets when a start fails while clients knock, and starts when it can", async () => {
      await host.well(`sed -i 's/^hostname/hostnam/' ${settings}`);
      expect((await host.sh("systemctl restart tpa-submit")).status).not.toBe(0);
      await host.well(
        "for i in $(seq 15); do (timeout 30 bash -c 'exec 3<>/dev/tcp/127.0.0.1/587; head -n 1 <&3' >>/root/knocked 2>&1 &); done",
      );
      const tried = async (): Promise<number> =>
        Number(await host.well("systemctl show -P NRestarts tpa-submit"));
      const before = await tried();
      await host.well("sleep 7");
      expect((await host.well(`systemctl is-active ${sockets}`)).trim()).toBe("active\nactive");
      const tries = (await tried()) - before;
      expect(tries).toBeGreaterThan(0);
      expect(tries).toBeLessThan(5);
      await host.well(`sed -i 's/^hostnam /hostname /' ${settings}`);
      await until("the clients that waited", async () =>
        (await host.sh("grep -c '^220 ' /root/knocked")).stdout.trim() === "15" ? true : undefined,
      );
    });

    test("starts with an expired certificate, and takes the renewal from certbot's hook, if it is ours", async () => {
      await certify("expired", -1);
      await host.well(`${installer} /root/expired/fullchain.pem /root/expired/privkey.pem`);
      await host.well("systemctl restart tpa-submit");
      expect(await journal()).toMatch(/expired on /);
      await certify("renewed", 90);
      const renew = (names: string): string =>
        `RENEWED_DOMAINS="${names}" RENEWED_LINEAGE=/root/renewed /etc/letsencrypt/renewal-hooks/deploy/tpa-submit`;
      const linked = await host.well("readlink /etc/tpa-submit/tls/current");
      await host.well(renew("www.example.org example.org"));
      expect(await host.well("readlink /etc/tpa-submit/tls/current")).toBe(linked);
      await host.well(renew("www.example.org submission.example.org"));
      const end = new Date(Date.now() + 89 * 86_400_000).toISOString().slice(0, 7);
      await until("the renewal", async () =>
        new RegExp(`valid until ${end}`).test(await journal()) ? true : undefined,
      );
      expect((await host.well("ls /etc/tpa-submit/tls | grep -c pair")).trim()).toBe("1");
    });

    test("refuses to take a spool of a later format, says what to do, and changes nothing", async () => {
      await repacked("0.0.9", (text) => text.replace(/^readable=.*/m, "readable=1"));
      const before = [await mainPid(), await installed()];
      const { status, stdout, stderr } = await host.sh("dpkg -i /root/0.0.9.deb");
      expect(status).not.toBe(0);
      expect(stdout + stderr).toMatch(/has the format [23], and this version reads formats up to 1/);
      expect(stdout + stderr).toContain("\n  tpa-submit spool downgrade\n");
      expect([await mainPid(), await installed()]).toEqual(before);
      await mailGoes();
      await host.well(
        `sed -i 's|^\\[spool\\]|&\\ndirectory = "/srv/spool" # ours|' ${settings}; mkdir /srv/spool`,
      );
      await host.put("/srv/spool/format", "tpa-submit spool 77\n");
      expect((await host.sh("dpkg -i /root/tpa-submit.deb")).stderr).toContain(
        "/srv/spool has the format 77",
      );
      await host.well(`sed -i '/ # ours$/d' ${settings}`);
    });

    test("rotates its log file", async () => {
      await host.well(`sed -i 's|^# target = .*|target = "file:/var/log/tpa-submit/mail.log"|' ${settings}`);
      await host.well("systemctl restart tpa-submit; logrotate --force /etc/logrotate.d/tpa-submit");
      await mailGoes();
      expect(await host.well("stat -c '%n %U %a' /var/log/tpa-submit/*")).toBe(
        "/var/log/tpa-submit/mail.log tpa-submit 640\n/var/log/tpa-submit/mail.log.1 tpa-submit 600\n",
      );
      expect(await host.well("grep -c status=sent /var/log/tpa-submit/mail.log")).toBe("1\n");
      await host.well(
        `sed -i 's|^target = .*|# target = "stdout"|' ${settings}; systemctl restart tpa-submit`,
      );
    });

    test("logs in the sandbox of its unit to the journal and to /dev/log, and rsyslog reads both", async () => {
      /** The line that rsyslog has of a message's delivery; it has one header. */
      const inMailLog = async (id: string): Promise<void> => {
        const line = await until(`rsyslog's line about ${id}`, async () => {
          const { stdout } = await host.sh(`grep '${id}: .*status=sent' /var/log/mail.log`);
          return stdout === "" ? undefined : stdout;
        });
        expect(line).toMatch(/^\S+ submission postfix\/smtp\[\d+\]: [0-9A-F]+: to=<.*>, .*\n$/);
      };
      const first = await mailGoes();
      const entry = await until("the journal's entry", async () => {
        const { stdout } = await host.sh(`journalctl --no-pager -o json -g '${first}: .*status=sent'`);
        return stdout === "" ? undefined : (JSON.parse(stdout) as Readonly<Record<string, string>>);
      });
      expect(entry).toMatchObject({
        _SYSTEMD_UNIT: "tpa-submit.service",
        SYSLOG_IDENTIFIER: "postfix/smtp",
        _CMDLINE: expect.stringContaining("tpa-submit log to /run/systemd/journal/socket"),
      });
      expect(entry["_PID"]).not.toBe(await mainPid());
      expect(await host.well(`grep Seccomp: /proc/${entry["_PID"]}/status`)).toBe("Seccomp:\t2\n"); // a filter
      await inMailLog(first);

      await host.well(`sed -i 's|^# target = .*|target = "socket:/dev/log"|' ${settings}`);
      await host.well("systemctl restart tpa-submit");
      await inMailLog(await mailGoes());
      expect(await host.well("cat /proc/[0-9]*/cmdline | tr '\\0' '\\n'")).toContain(
        "tpa-submit log to /dev/log\n",
      );
      expect(await journal()).not.toMatch(/log cannot be written/);
      await host.well(
        `sed -i 's|^target = .*|# target = "stdout"|' ${settings}; systemctl restart tpa-submit`,
      );
    });

    test("serves the portal from its unit, which asks the relay and may read nothing of it", async () => {
      await host.put(
        "/root/portal.sed",
        `/^\\[portal\\]/,/^\\[ldap\\]/ {
s|^# url = .*|url = "https://mail.example.org"|
s|^# proxies = .*|proxies = ["127.0.0.1"]|
s|^# sign-in = .*|sign-in = "header"|
s|^# socket = .*|socket = "/run/tpa-submit-portal/door"|
s|^# socket-group = .*|socket-group = "tpa-submit-portal"|
}
`,
      );
      await host.well(
        `sed -i -f /root/portal.sed ${settings}; systemctl restart tpa-submit; systemctl start tpa-submit-portal`,
      );
      const fetched = (path: string): Promise<string> =>
        until(`a page at ${path}`, async () => {
          const request = `GET ${path} HTTP/1.1\\r\\nHost: mail.example.org\\r\\nX-Remote-User: user1\\r\\nConnection: close\\r\\n\\r\\n`;
          const { status, stdout } = await host.sh(
            `exec 3<>/dev/tcp/127.0.0.1/9589 && printf '${request}' >&3 && timeout 20 cat <&3`,
          );
          return status === 0 && stdout !== "" ? stdout : undefined;
        });
      const page = await fetched("/");
      expect(page).toMatch(/^HTTP\/1\.1 200 /);
      expect(page).toContain("Signed in as <b>user1</b>");
      expect(page).toContain("The mail server knows your login.");
      expect(await fetched("/mail/config-v1.1.xml")).toContain("<hostname>submission.example.org</hostname>");

      const pid = (await host.well("systemctl show -P MainPID tpa-submit-portal")).trim();
      expect(await host.well(`stat -c %U /proc/${pid}`)).toBe("tpa-submit-portal\n");
      for (const hidden of [
        "/etc/tpa-submit",
        "/var/lib/tpa-submit",
        "/var/spool/tpa-submit",
        "/run/tpa-submit",
      ])
        expect(await host.well(`ls -A /proc/${pid}/root${hidden}`)).toBe("");
      await host.well(`kill -9 ${pid}`);
      await until("another portal", async () => {
        const now = (await host.well("systemctl show -P MainPID tpa-submit-portal")).trim();
        return now !== pid && now !== "0" ? true : undefined;
      });
      expect(await fetched("/healthz")).toMatch(/ok\n$/);
      await host.well("systemctl stop tpa-submit");
      expect(await fetched("/")).toContain("The mail server cannot be asked at the moment");
      await host.well("systemctl start tpa-submit; systemctl stop tpa-submit-portal");
      const { stdout: level } = await host.sh("systemd-analyze security tpa-submit-portal.service");
      process.stderr.write(`${level.trim().split("\n").at(-1) ?? ""}\n`);
    });

    test("is there again after a reboot", async () => {
      const before = (
        await host.well("cat /proc/sys/kernel/random/boot_id; systemctl show -P UserspaceTimestampMonotonic")
      ).trim();
      await host.sh("systemctl reboot");
      const isAnother = async (): Promise<true | undefined> => {
        const now = await host.sh("systemctl show -P UserspaceTimestampMonotonic").catch(() => undefined);
        return now?.status === 0 && !before.endsWith(now.stdout.trim()) ? true : undefined;
      };
      await until("another boot", isAnother, longestBoot);
      await host.up();
      expect(await host.well(`systemctl is-active ${sockets} tpa-submit`)).toBe("active\nactive\nactive\n");
      await mailGoes();
    });
  });

  describe("removed", () => {
    beforeAll(begin, 120_000);
    afterAll(() => host.stop());

    test("leaves mail, and when purged all but mail; a purge without mail leaves nothing", async () => {
      await host.well(
        `sed -i 's|^relay = .*|relay = "smtp://127.0.0.1:9"|' ${settings}; systemctl restart tpa-submit`,
      );
      expect((await host.sh(send())).stdout).toMatch(/queued as/);
      await host.well("apt-get remove -q -y tpa-submit");
      expect((await host.sh(`systemctl is-active ${sockets} tpa-submit`)).stdout).not.toMatch(/^active/m);
      expect(await host.well("ls /var/lib/tpa-submit /etc/tpa-submit")).toMatch(
        /tpa-submit\.toml[\s\S]*mail-passwords/,
      );
      await host.well("apt-get install -q -y /root/tpa-submit.deb");
      const purged = await host.sh("apt-get purge -q -y tpa-submit");
      expect(purged.status).toBe(0);
      expect(purged.stdout + purged.stderr).toContain("/var/spool/tpa-submit stays: it holds mail");
      const left =
        "ls -d /etc/tpa-submit /var/lib/tpa-submit /var/log/tpa-submit /etc/systemd/system/*/tpa-submit*";
      expect((await host.sh(left)).stdout).toBe("");

      // Installed again, it takes over what is there.
      await host.well("apt-get install -q -y /root/tpa-submit.deb");
      expect(
        await host.well(
          "tpa-submit queue list --config /root/as-shipped.toml 2>&1 || ls /var/spool/tpa-submit/queue",
        ),
      ).not.toBe("");
      await host.well("rm -r /var/spool/tpa-submit/*; apt-get purge -q -y tpa-submit");
      expect((await host.sh("ls -d /var/spool/tpa-submit")).stdout).toBe("");
    });
  });

  test("is set up by init in two commands, and the check then sees what the service would meet", async () => {
    host = await bootHost("root" in bare ? bare.root : "");
    try {
      await host.put("/root/tpa-submit.deb", await readFile(packed));
      await host.well("apt-get install -q -y /root/tpa-submit.deb");
      await certify("first", 60);
      await host.well(
        "mkdir -p -m 700 /etc/letsencrypt/live; cp -r /root/first /etc/letsencrypt/live/submission.example.org",
      );
      await host.well(`install -d -o tpa-submit ${delivered}`);
      const made = await host.sh(
        `tpa-submit init --yes --offline --hostname submission.example.org --domain example.org --login user1 --relay file:${delivered}`,
      );
      expect(made.status).toBe(0);
      expect(made.stdout).not.toMatch(/^FAILED/m);
      password = /shown only now: (\S+)/.exec(made.stderr)?.[1] ?? made.stderr;
      await host.well(`systemctl enable --now ${sockets} tpa-submit`);
      await mailGoes();
      const fine = await host.sh("tpa-submit check --offline");
      expect([fine.status, fine.stdout.match(/^FAILED.*/gm)]).toEqual([0, null]);
      expect(fine.stdout).toMatch(
        /^ok {7}service {6}runs as tpa-submit \(User= of \S+tpa-submit\.service\)$/m,
      );
      expect(fine.stdout).toMatch(/^ok {7}ports {8}0\.0\.0\.0:587: the running relay's \(process \d+\)$/m);
      expect(fine.stdout).toMatch(/^ok {7}renewal {6}\S*tpa-submit: brings a renewed certificate$/m);
      // What root's shell would never have met.
      await host.well(
        "chown -h root: /etc/tpa-submit/tls/pair.*/privkey.pem; chmod 600 /etc/tpa-submit/tls/pair.*/privkey.pem",
      );
      await host.put("/root/log.sed", 's|^# target = .*|target = "file:/var/log/mail-submission.log"|');
      await host.well(`sed -i -f /root/log.sed ${settings}`);
      const bad = await host.sh("tpa-submit check --offline");
      expect(bad.stdout).toMatch(/^FAILED {3}files {8}\S+privkey\.pem: .*by the service's user tpa-submit/m);
      expect(bad.stdout).toMatch(/^FAILED {3}log {10}\/var\/log\/mail-submission\.log: /m);
      expect(bad.status).toBe(78);
    } finally {
      await host.stop();
    }
  });
});
