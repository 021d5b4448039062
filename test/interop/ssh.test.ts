/** A real sshd on loopback, whose AuthorizedKeysCommand is ours: mail by key, and no way out of the forced command. */
import { chmod, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { hostKeysIn, zoneLines } from "../../src/commands/settings/records.ts";
import { serviceOf } from "../../src/commands/settings/service.ts";
import { parseConfig } from "../../src/config/config-file.ts";
import { formatKeyFile, readKey } from "../../src/ssh/key-file.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd } from "../ldap/slapd.ts";
import { type Daemon, run, runWell, start } from "../tools/child.mjs";
import { freePort } from "../tools/port.mjs";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { startPostfix } from "./postfix.mjs";
import { realAsRoot, realPostfix } from "./root.ts";

const to = "x@example.net";

describe.skipIf(!realAsRoot("sshd", "ssh", "ssh-keygen"))("by SSH", () => {
  let relay: Relay;
  let folder: string;
  let daemon: Daemon;
  let port: number;

  /** What ssh is called with; `key` is the name of a file. */
  const client = (key = "user1"): readonly string[] => [
    ...[
      "-F",
      "/dev/null",
      "-i",
      join(folder, key),
      "-p",
      `${port}`,
      "-o",
      "IdentitiesOnly=yes",
      "-o",
      "BatchMode=yes",
    ],
    ...[
      "-o",
      "StrictHostKeyChecking=no",
      "-o",
      `UserKnownHostsFile=${folder}/known`,
      "-o",
      "LogLevel=ERROR",
      "root@127.0.0.1",
    ],
  ];
  const ssh = (words: readonly string[], input = "", key?: string) =>
    run("ssh", [...client(key), ...words], input);

  async function putKeys(...logins: readonly string[]): Promise<void> {
    const keys = await Promise.all(
      logins.map(async (login) => readKey(login, await readFile(join(folder, `${login}.pub`), "utf8"))),
    );
    await writeFile(join(relay.folder, "keys"), formatKeyFile(keys.filter((key) => typeof key !== "string")));
  }

  const arrived = (token: string): Promise<string> =>
    until(`${token} to arrive`, async () => {
      for (const name of (await readdir(relay.delivered)).filter((one) => !one.startsWith("."))) {
        const text = await readFile(join(relay.delivered, name), "utf8");
        if (text.includes(token)) return text;
      }
      return undefined;
    });

  beforeAll(async () => {
    // sshd wants root's folders above what it runs, and /tmp is everybody's.
    folder = await mkdtemp("/run/tpa-submit-ssh-");
    relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = ""
local = "${folder}/local"
[ssh]
keys = "FOLDER/keys"
account = "root"`);
    for (const name of ["host", "user1", "user2", "stranger"]) {
      await runWell("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
    }
    await putKeys("user1", "user2");
    const command = join(folder, "keys-of");
    await writeFile(
      command,
      `#!/bin/sh\nexec ${process.execPath} ${program} ssh authorized-keys --config ${relay.config} "$@"\n`,
    );
    await chmod(command, 0o755);
    port = await freePort();
    await writeFile(
      join(folder, "sshd_config"),
      `ListenAddress 127.0.0.1:${port}
HostKey ${folder}/host
PidFile none
UsePAM no
PermitRootLogin forced-commands-only
PasswordAuthentication no
KbdInteractiveAuthentication no
AuthorizedKeysFile none
AuthorizedKeysCommand ${command} %u %k %t
AuthorizedKeysCommandUser root
PermitUserEnvironment no
SetEnv PATH=${join(process.execPath, "..")}:/usr/bin:/bin
Subsystem sftp internal-sftp
`,
    );
    await relay.start();
    await runWell("mkdir", ["-p", "/run/sshd"]);
    const path = (await runWell("sh", ["-c", "command -v sshd"])).trim();
    daemon = start(path, ["-D", "-e", "-f", join(folder, "sshd_config")]);
    await until("sshd to listen", () => (daemon.output().includes("Server listening") ? true : undefined));
  });
  afterAll(async () => {
    await daemon?.stop();
    await relay?.stop();
    if (folder) await rm(folder, { recursive: true });
  });

  test("a message goes as sendmail takes it, in the name of the key's login", async () => {
    const token = crypto.randomUUID();
    expect(await ssh(["sendmail", "-i", to], `Subject: ${token}\n\nA line.\n.\nB\n`)).toMatchObject({
      status: 0,
      stderr: "",
    });
    const text = await arrived(token);
    expect(text).toContain("From: user1@example.org\r\n");
    expect(text).toContain("\r\n\r\nA line.\r\n.\r\nB\r\n");
    await relay.logged(/client=unknown\[127\.0\.0\.1\], sasl_method=SSH, sasl_username=user1\n/);
  });

  test("the relay's refusal is told at once, with a status", async () => {
    expect(await ssh(["sendmail", "-f", "user1@example.org", to], "Subject: x\n\n", "user2")).toMatchObject({
      status: 77,
      stderr: expect.stringContaining("user2 may not send as user1@example.org"),
    });
    expect((await ssh(["sendmail", "nobody-of-this-host"], "Subject: x\n\n")).status).toBe(77);
    expect((await ssh(["sendmail"], "")).status).toBe(64);
  });

  test.skipIf(!real("swaks"))("swaks speaks SMTP through it", async () => {
    const token = crypto.randomUUID();
    await runWell("swaks", [
      "--pipe",
      `ssh ${client().join(" ")}`,
      "-f",
      "user1@example.org",
      "-t",
      to,
      "--body",
      token,
    ]);
    await arrived(token);
  });

  test.skipIf(!real("git send-email"))("git sends through it", async () => {
    const token = crypto.randomUUID();
    const patch = join(relay.folder, "0001-a.patch");
    await writeFile(
      patch,
      `From 0 Mon Sep 17 00:00:00 2001\nFrom: Me <user1@example.org>\nSubject: [PATCH] ${token}\n\nA line.\n`,
    );
    const words = [
      "-c",
      `sendemail.sendmailCmd=ssh ${client().join(" ")} sendmail`,
      "-c",
      "user.name=Me",
      "-c",
      "user.email=user1@example.org",
    ];
    await runWell(
      "git",
      [...words, "send-email", "--quiet", "--confirm=never", "--suppress-cc=all", "--to", to, patch],
      "",
      { HOME: relay.folder },
    );
    await arrived(token);
  });

  test.skipIf(!real("mutt"))("mutt sends through it", async () => {
    const token = crypto.randomUUID();
    const settings = `set sendmail="ssh ${client().join(" ")} sendmail -oem -oi" copy=no from=user1@example.org use_envelope_from=yes`;
    await runWell("mutt", ["-n", "-F", "/dev/null", "-e", settings, "-s", token, to], "From mutt.\n", {
      HOME: relay.folder,
    });
    await arrived(token);
  });

  describe("as tpa-submit settings says", () => {
    /** Finds an `ssh` that knows the test's port and key, and otherwise is the real one. */
    let environment: Readonly<Record<string, string>>;
    let wrapper: string;
    let texts: ReadonlyMap<string, string>;
    let steps: readonly string[];

    beforeAll(async () => {
      // Others than root go through it as well; ssh asks nobody for the mode of a key that is not the caller's own.
      await chmod(folder, 0o755);
      const key = join(folder, "for-anybody");
      await writeFile(key, await readFile(join(folder, "user1")), { mode: 0o644 });
      await mkdir(join(folder, "bin"));
      wrapper = join(folder, "bin/ssh");
      const [own, anybodys] = ["user1", "for-anybody"].map((key) => client(key).slice(0, -1).join(" "));
      await writeFile(
        wrapper,
        `#!/bin/sh\n[ $(id -u) = 0 ] && exec /usr/bin/ssh ${own} "$@"\nexec /usr/bin/ssh ${anybodys} "$@"\n`,
        { mode: 0o755 },
      );
      environment = { PATH: `${folder}/bin:${process.env["PATH"] ?? ""}`, HOME: relay.folder };
      const { stdout } = await run(process.execPath, [
        ...[program, "settings", "ssh", "--config", relay.config],
        ...["--login", "user1", "--server", "localhost", "--json"],
      ]);
      const told = JSON.parse(stdout) as {
        readonly client: {
          readonly steps: readonly string[];
          readonly files: readonly { readonly name: string; readonly text: string }[];
        };
      };
      ({ steps } = told.client);
      texts = new Map(told.client.files.map(({ name, text }) => [name, text]));
    });

    const fileOf = async (name: string): Promise<string> => {
      const path = join(relay.folder, name.replace(/.*\//, ""));
      await writeFile(path, homely(texts.get(name) ?? ""), { mode: 0o600 });
      return path;
    };
    const homely = (text: string): string => text.replaceAll("/home/user1/", `${relay.folder}/`);
    const stepWith = (word: string): string => steps.find((step) => step.includes(word)) ?? "";

    test.skipIf(!real("git send-email"))("git", async () => {
      const token = crypto.randomUUID();
      const patch = join(relay.folder, "0002-a.patch");
      await writeFile(
        patch,
        `From 0 Mon Sep 17 00:00:00 2001\nFrom: user1@example.org\nSubject: [PATCH] ${token}\n\nA line.\n`,
      );
      const words = ["send-email", "--quiet", "--confirm=never", "--suppress-cc=all", "--to", to, patch];
      await runWell("git", words, "", {
        ...environment,
        GIT_CONFIG_GLOBAL: await fileOf("~/.gitconfig"),
        GIT_AUTHOR_NAME: "Me",
        GIT_AUTHOR_EMAIL: "user1@example.org",
        GIT_COMMITTER_NAME: "Me",
        GIT_COMMITTER_EMAIL: "user1@example.org",
      });
      await arrived(token);
    });

    test.skipIf(!real("mutt"))("mutt", async () => {
      const token = crypto.randomUUID();
      const words = ["-n", "-F", await fileOf("~/.muttrc"), "-e", "set copy=no", "-s", token, "--", to];
      await runWell("mutt", words, "From mutt.\n", environment);
      await arrived(token);
    });

    test.skipIf(!real("swaks"))("swaks", async () => {
      const token = crypto.randomUUID();
      const command = stepWith("swaks").replace("-t user1@example.org", `-t ${to}`);
      await runWell("sh", ["-c", `${command} --body ${token}`], "", environment);
      await arrived(token);
    });

    test.skipIf(!real("msmtp", "socat"))("msmtp, by a socket", async () => {
      const token = crypto.randomUUID();
      const [, command = ""] = /"(socat .*)" running/.exec(homely(stepWith("socat"))) ?? [];
      const socat = start("env", [
        ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
        ...["sh", "-c", `exec ${command}`],
      ]);
      try {
        await until("socat to listen", async () =>
          (await readdir(relay.folder)).includes(".submission") ? true : undefined,
        );
        const words = ["-C", await fileOf("~/.msmtprc"), to];
        await runWell("msmtp", words, `From: user1@example.org\nSubject: ${token}\n\nA line.\n`, environment);
        await arrived(token);
      } finally {
        await socat.stop();
      }
    });

    test.skipIf(!realPostfix("swaks"))("Postfix, by a pipe, and a refusal comes back at once", async () => {
      const services = (texts.get("/etc/postfix/master.cf") ?? "")
        .replace("user=submission", "user=nobody")
        .replace("/usr/bin/ssh", wrapper);
      const postfix = await startPostfix(texts.get("/etc/postfix/main.cf") ?? "", { services });
      const send = (from: string, token: string) =>
        runWell("swaks", ["-s", `127.0.0.1:${postfix.port}`, "-f", from, "-t", to, "--body", token]);
      try {
        const token = crypto.randomUUID();
        await send("user1@example.org", token);
        await arrived(token).catch(async (error: unknown) => {
          throw new Error(await postfix.log(), { cause: error });
        });
        await send("user2@example.org", "of somebody else");
        await until("Postfix to send it back", async () =>
          /status=bounced .*user1 may not send as user2@example\.org/.test(await postfix.log())
            ? true
            : undefined,
        );
      } finally {
        await postfix.stop();
      }
    });

    test("SSHFP records are those of ssh-keygen", async () => {
      await runWell("ssh-keygen", ["-q", "-t", "rsa", "-N", "", "-f", join(folder, "ssh_host_rsa_key")]);
      await runWell("ssh-keygen", ["-q", "-t", "ecdsa", "-N", "", "-f", join(folder, "ssh_host_ecdsa_key")]);
      await runWell("ssh-keygen", [
        "-q",
        "-t",
        "ed25519",
        "-N",
        "",
        "-f",
        join(folder, "ssh_host_ed25519_key"),
      ]);
      const names = ["ecdsa", "ed25519", "rsa"].map((type) => join(folder, `ssh_host_${type}_key.pub`));
      const wanted = await Promise.all(
        names.map(async (name) => {
          const lines = await runWell("ssh-keygen", ["-r", "relay.example.org.", "-f", name]);
          return lines.split("\n").filter((line) => / SSHFP \d 2 /.test(line));
        }),
      );
      const result = parseConfig('hostname = "relay.example.org"\ndomain = "example.org"\n', "test.toml");
      if (!("config" in result)) throw new Error("no configuration");
      const { config } = result;
      const zone = zoneLines({
        ...{ config, domains: [config.domain], service: serviceOf(config, "user1"), addresses: [] },
        ...{ certificate: { missing: "none" }, hostKeys: await hostKeysIn(folder) },
      });
      expect(zone.split("\n").filter((line) => line.includes(" SSHFP "))).toEqual(wanted.flat());
      expect(wanted.flat()).toHaveLength(3);
    });
  });

  test("a key that is taken away ends it at once, and one that is unknown never began", async () => {
    expect((await ssh(["smtp"], "QUIT\r\n", "stranger")).status).toBe(255);
    await putKeys("user1");
    expect((await ssh(["smtp"], "QUIT\r\n", "user2")).status).toBe(255);
    await putKeys("user1", "user2");
    expect(await ssh(["smtp"], "QUIT\r\n", "user2")).toMatchObject({
      status: 0,
      stdout: expect.stringMatching(/^220 /),
    });
  });

  test.each([
    ["a shell", ["sh", "-c", "id"]],
    ["a shell of its own", ["sendmail", "-i", "x@example.net;", "id"]],
    ["another command behind it", ["smtp;", "id"]],
    ["substitution", ["$(id)"]],
    ["the queue", ["sendmail", "-bp"]],
    ["another configuration", ["sendmail", "-C", "/etc/passwd", to]],
    ["nothing that a shell would run", ["sendmail", "`id`"]],
  ])("is no way to %s", async (_, words) => {
    const { status, stdout } = await ssh(words, "Subject: x\n\n");
    expect(status).not.toBe(0);
    expect(stdout).not.toMatch(/uid=/);
  });

  test("neither forwarding nor a terminal nor sftp nor the client's environment", async () => {
    expect((await run("ssh", ["-W", "127.0.0.1:22", ...client()])).status).toBe(255);
    expect((await run("ssh", ["-s", ...client(), "sftp"])).status).not.toBe(0);
    const { stdout } = await run("ssh", ["-tt", ...client(), "smtp"], "QUIT\r\n");
    expect(stdout).not.toContain("\u001b");
    const other = await run(
      "ssh",
      ["-o", "SendEnv=SSH_ORIGINAL_COMMAND TPA_SUBMIT_MAILDROP", ...client(), "smtp"],
      "QUIT\r\n",
      {
        TPA_SUBMIT_MAILDROP: "/tmp",
      },
    );
    expect(other.stdout).toMatch(/^220 /);
  });

  test("in SMTP a client cannot become somebody else, nor touch the maildrop", async () => {
    const drop = "a".repeat(32);
    const { stdout } = await ssh(
      ["smtp"],
      [
        "EHLO me",
        "XCLIENT LOGIN=user2",
        "AUTH PLAIN AHUAcA==",
        `MAIL FROM:<user1@example.org> XDROP=${drop}`,
        "MAIL FROM:<user2@example.org>",
        "QUIT",
        "",
      ].join("\r\n"),
    );
    const codes = stdout
      .split("\r\n")
      .filter((line) => /^\d{3} /.test(line))
      .map((line) => line.slice(0, 3));
    expect(codes).toEqual(["220", "250", "503", "502", "555", "550", "221"]);
  });

  describe.skipIf(!real(...slapdPrograms))("with the keys of a directory", () => {
    let slapd: Slapd;
    let sync: Daemon;

    beforeAll(async () => {
      const publicKeys = await Promise.all(
        ["user1", "user2"].map((name) => readFile(join(folder, `${name}.pub`), "utf8")),
      );
      const entries = publicKeys.map((key, index) => person(`user${index + 1}`, `sshRSAAuthKey: ${key}`));
      slapd = await startSlapd({
        entries: [...entries, person("user3", "mailPassword: sgn88XbHm0Xjc")].join(""),
      });
      await writeFile(join(relay.folder, "directory-password"), reader.password);
      const config = join(relay.folder, "sync.toml");
      await writeFile(
        config,
        `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${relay.folder}/synced-passwords"
[ssh]
keys = "${relay.folder}/keys"
[ldap]
url = ["${slapd.ldapi}"]
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${relay.folder}/directory-password"
ssh-key-attribute = "sshRSAAuthKey"
[sync]
interval = "1s"
largest-loss = 60
`,
      );
      await rm(join(relay.folder, "keys"));
      sync = start(process.execPath, [program, "sync", "--watch", "--config", config]);
    });
    afterAll(async () => {
      await sync?.stop();
      await slapd?.remove();
      await putKeys("user1", "user2");
    });

    const mayEnter = async (key: string): Promise<boolean> =>
      (await ssh(["smtp"], "QUIT\r\n", key)).status === 0;

    test("whoever has a key there sends, without a mail password, until it is taken away", async () => {
      await until("sync to bring the keys", async () => ((await mayEnter("user2")) ? true : undefined));
      expect(await mayEnter("user1")).toBe(true);
      await slapd.modify(`dn: uid=user2,${people}\nchangetype: modify\ndelete: sshRSAAuthKey\n`);
      const began = performance.now();
      await until("the key to be refused", async () => ((await mayEnter("user2")) ? undefined : true));
      // The interval is a second; the rest is what a busy machine needs for a search and three programs.
      expect(performance.now() - began).toBeLessThan(15_000);
      expect(await mayEnter("user1")).toBe(true);
    });
  });

  test("while the relay is away it says so, with 75", async () => {
    relay.signal("SIGTERM");
    await relay.ended;
    expect(await ssh(["sendmail", to], "Subject: x\n\n")).toMatchObject({
      status: 75,
      stderr: expect.stringContaining("mail is not taken at the moment"),
    });
    await relay.start();
  });
});
