/** `tpa-submit check` and each fault that it knows, made on purpose. The network's are in network.test.ts. */
import { once } from "node:events";
import { chmod, mkdir, rename, rm, utimes, writeFile } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { generate } from "selfsigned";
import { afterEach, beforeEach, describe, expect, onTestFinished, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { run } from "../../tools/child.mjs";
import { freePort } from "../../tools/port.mjs";
import { onTerminal } from "../../tools/terminal.ts";
import { check, complaints, expectFinding, inFolder } from "./checked.ts";

let relay: Relay;
beforeEach(async () => {
  relay = await prepareRelay();
  await certifyFor("relay.example.org", 200);
});
afterEach(() => relay.stop());

async function certifyFor(name: string, days: number): Promise<void> {
  const { key, cert } = selfSigned([name], days);
  await writeFile(inFolder(relay, "key.pem"), key);
  await writeFile(relay.certificate, cert);
}

async function expire(): Promise<void> {
  const day = 86_400_000;
  const { cert, private: key } = await generate([{ name: "commonName", value: "relay.example.org" }], {
    keyType: "ec",
    curve: "P-256",
    notBeforeDate: new Date(Date.now() - 2 * day),
    notAfterDate: new Date(Date.now() - day),
  });
  await writeFile(inFolder(relay, "key.pem"), key);
  await writeFile(relay.certificate, cert);
}

/** Takes a port until the test is over. */
async function takePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => void server.close());
  return (server.address() as AddressInfo).port;
}

const unit = (lines: string): Promise<void> =>
  writeFile(
    inFolder(relay, "test.service"),
    `[Unit]\nDescription=A test\n[Service]\n${lines.replaceAll("FOLDER", relay.folder)}\n`,
  );

interface Case {
  readonly name: string;
  readonly fault: () => Promise<unknown>;
  readonly finds: readonly [check: string, state: string, says: RegExp];
  /** Exit status. */
  readonly status: number;
  readonly words?: readonly string[];
}

const withUnit = ["--offline", "--unit", "FOLDER/test.service"];

const cases: readonly Case[] = [
  {
    name: "no configuration",
    fault: () => rm(relay.config),
    finds: ["config", "failed", /FOLDER\/tpa-submit\.toml: there is no such file/],
    status: 78,
  },
  {
    name: "one of two mistakes in it",
    fault: () => relay.configure('[limits]\nrecipients = "many"\n[spol]\n'),
    finds: ["config", "failed", /FOLDER\/tpa-submit\.toml:\d+: spol: .*\[spool\]/],
    status: 78,
  },
  {
    name: "the other one",
    fault: () => relay.configure('[limits]\nrecipients = "many"\n[spol]\n'),
    finds: ["config", "failed", /limits\.recipients: expected a whole number/],
    status: 78,
  },
  {
    name: "a user that does not exist",
    fault: () => unit("User=nobody-of-this-name"),
    finds: ["service", "failed", /there is no user nobody-of-this-name \(User= of FOLDER\/test\.service\)/],
    status: 78,
    words: withUnit,
  },
  {
    name: "a group that does not exist",
    fault: () => unit("User=root\nSupplementaryGroups=no-such-group"),
    finds: ["service", "failed", /there is no group no-such-group/],
    status: 78,
    words: withUnit,
  },
  {
    name: "a folder that the unit needs",
    fault: () => unit("User=root\nReadWritePaths=-/nowhere FOLDER/missing"),
    finds: ["service", "failed", /FOLDER\/missing: is not there, and systemd does not start/],
    status: 78,
    words: withUnit,
  },
  {
    name: "a password file that everybody can change",
    fault: () => chmod(inFolder(relay, "mail-passwords"), 0o666),
    finds: ["files", "failed", /mail-passwords: the password file can be changed by everybody \(mode 0666\)/],
    status: 78,
  },
  {
    name: "a key that everybody can read",
    fault: () => chmod(inFolder(relay, "key.pem"), 0o644),
    finds: ["files", "warning", /key\.pem: everybody can read it \(mode 0644\)/],
    status: 0,
  },
  {
    name: "a key that the unit hides",
    fault: () => unit("InaccessiblePaths=FOLDER/key.pem"),
    finds: ["files", "failed", /key\.pem: the private key is hidden from the service by InaccessiblePaths=/],
    status: 78,
    words: withUnit,
  },
  {
    name: "an expired certificate",
    fault: expire,
    finds: ["certificate", "failed", /FOLDER\/certificate\.pem: expired on \S+; clients would refuse it/],
    status: 78,
  },
  {
    name: "a certificate that ends soon",
    fault: () => certifyFor("relay.example.org", 10),
    finds: ["certificate", "warning", /valid until \S+, (?:9|10) days from now/],
    status: 0,
  },
  {
    name: "a certificate of another name",
    fault: () => certifyFor("mail.example.org", 200),
    finds: ["certificate", "warning", /not for relay\.example\.org, which is hostname/],
    status: 0,
  },
  {
    name: "a key of another certificate",
    fault: () => writeFile(inFolder(relay, "key.pem"), selfSigned().key),
    finds: ["certificate", "failed", /key\.pem: is not the private key of the certificate/],
    status: 78,
  },
  {
    name: "a certificate that is short-lived and nobody renews",
    fault: () => certifyFor("relay.example.org", 90),
    finds: ["renewal", "warning", /it is for 90 days only/],
    status: 0,
  },
  {
    name: "no password file",
    fault: () => rm(inFolder(relay, "mail-passwords")),
    finds: ["passwords", "failed", /nobody could log in \(there is no such file\)/],
    status: 78,
  },
  {
    name: "a password file that lets nobody in",
    fault: () => writeFile(inFolder(relay, "mail-passwords"), "user1:*\n", { mode: 0o600 }),
    finds: ["passwords", "failed", /no line has a login and a usable hash/],
    status: 78,
  },
  {
    name: "a line of it that lets nobody in",
    fault: () => writeFile(inFolder(relay, "mail-passwords"), "user1:{PLAIN}secret\nuser2:*\n"),
    finds: ["passwords", "warning", /mail-passwords:2: user2: /],
    status: 0,
  },
  {
    name: "a weak hash in it",
    fault: () => writeFile(inFolder(relay, "mail-passwords"), "user1:{PLAIN}secret\nuser2:{PLAIN}other\n"),
    finds: ["passwords", "warning", /mail-passwords: 2 logins have \S+ \(the password stands there/],
    status: 0,
  },
  {
    name: "aliases that cannot be understood",
    fault: async () => {
      await writeFile(inFolder(relay, "aliases"), "press@example.org user1\n");
      await relay.configure('[senders]\naliases = "FOLDER/aliases"');
    },
    finds: ["senders", "failed", /FOLDER\/aliases:1: expected "address: login, login"/],
    status: 78,
  },
  {
    name: "a spool that is a file",
    fault: () => writeFile(inFolder(relay, "spool"), ""),
    finds: ["spool", "failed", /FOLDER\/spool: is no folder/],
    status: 78,
  },
  {
    name: "a spool whose folder cannot be made",
    fault: () => relay.configure('[spool]\ndirectory = "FOLDER/no/spool"'),
    finds: ["spool", "failed", /FOLDER\/no\/spool: is not there, .*make the folder above it first/],
    status: 78,
  },
  {
    name: "a folder of other things as the spool",
    fault: async () => {
      await mkdir(inFolder(relay, "spool"), { mode: 0o700 });
      await writeFile(inFolder(relay, "spool/holiday.jpg"), "");
    },
    finds: ["spool", "failed", /not a spool: it holds "holiday\.jpg" but no file "format"/],
    status: 78,
  },
  {
    name: "a spool of a later version",
    fault: async () => {
      await mkdir(inFolder(relay, "spool"), { mode: 0o700 });
      await writeFile(inFolder(relay, "spool/format"), "tpa-submit spool 99\n");
    },
    finds: ["spool", "failed", /of the format "tpa-submit spool 99", which this version does not know/],
    status: 78,
  },
  {
    name: "a spool that others can write into",
    fault: async () => {
      await mkdir(inFolder(relay, "spool"));
      await chmod(inFolder(relay, "spool"), 0o770);
    },
    finds: ["spool", "failed", /others may write into it \(mode 0770\)/],
    status: 78,
  },
  {
    name: "a spool in which the unit lets nobody write",
    fault: async () => {
      await mkdir(inFolder(relay, "spool"), { mode: 0o700 });
      await unit("ProtectSystem=strict");
    },
    finds: ["spool", "failed", /the service cannot write there: ProtectSystem=strict/],
    status: 78,
    words: withUnit,
  },
  {
    name: "too little room",
    fault: () => relay.configure('[spool]\ndirectory = "FOLDER/spool"\nreserve = "900000G"'),
    finds: ["room", "failed", /MiB free, of which spool\.reserve keeps \d+ MiB: every message is refused/],
    status: 69,
  },
  {
    name: "no password for the smarthost",
    fault: () =>
      relay.configure(
        '[delivery]\nrelay = "smtp://127.0.0.1:25"\nrelay-user = "relay1"\nrelay-password-file = "FOLDER/none"',
      ),
    finds: [
      "routes",
      "failed",
      /FOLDER\/none: cannot be read .*relay-password-file of \[delivery\] names it/,
    ],
    status: 78,
  },
  {
    name: "a log in a folder that is missing",
    fault: () => relay.configure('[log]\ntarget = "file:FOLDER/no/mail.log"'),
    finds: ["log", "failed", /FOLDER\/no\/mail\.log: the service's user \S+ cannot write it/],
    status: 73,
  },
  {
    name: "a log outside what the unit lets it write",
    fault: async () => {
      await relay.configure('[log]\ntarget = "file:FOLDER/mail.log"');
      await unit("ProtectSystem=strict\nReadWritePaths=FOLDER/spool");
      await mkdir(inFolder(relay, "spool"), { mode: 0o700 });
    },
    finds: ["log", "failed", /FOLDER\/mail\.log: the service cannot write it: ProtectSystem=strict/],
    status: 73,
    words: withUnit,
  },
  {
    name: "a control socket in a folder that is missing",
    fault: () => relay.configure('[control]\nsocket = "FOLDER/no/control"'),
    finds: ["control", "failed", /FOLDER\/no\/control: its folder is not there/],
    status: 78,
  },
  {
    name: "a port that another program has",
    fault: async () =>
      relay.configure(
        `[listen]\nsubmission = ["127.0.0.1:${await takePort()}"]\nsubmissions = []\nhttp = ""`,
      ),
    finds: ["ports", "failed", /127\.0\.0\.1:\d+: \S+ \(process \d+\) has this port/],
    status: 69,
  },
  {
    name: "a port of a wildcard that another program has on one address",
    fault: async () =>
      relay.configure(`[listen]\nsubmission = ["0.0.0.0:${await takePort()}"]\nsubmissions = []\nhttp = ""`),
    finds: ["ports", "failed", /0\.0\.0\.0:\d+: .*has this port/],
    status: 69,
  },
  {
    name: "an address of another host",
    fault: () => relay.configure('[listen]\nsubmission = ["192.0.2.99:587"]\nsubmissions = []\nhttp = ""'),
    finds: ["ports", "failed", /no interface of this host has 192\.0\.2\.99; listen\.submission names it/],
    status: 69,
  },
  {
    name: "too few descriptors",
    fault: () => unit("LimitNOFILE=256"),
    finds: ["limits", "warning", /the unit gives 256 descriptors, its limits may take 2300/],
    status: 0,
    words: withUnit,
  },
  {
    name: "a clock that was set back",
    fault: async () => {
      const tomorrow = new Date(Date.now() + 86_460_000);
      await utimes(inFolder(relay, "mail-passwords"), tomorrow, tomorrow);
    },
    finds: ["clock", "failed", /FOLDER\/mail-passwords: was written 1 day from now: the clock says/],
    status: 69,
  },
  {
    name: "a relay that does not run",
    fault: async () => undefined,
    finds: ["relay", "warning", /no relay is running/],
    status: 0,
  },
];

describe("check finds", () => {
  test.each(cases)("$name", async ({ fault, finds, status, words = ["--offline"] }) => {
    await fault();
    const checked = await check(
      relay,
      words.map((word) => word.replace("FOLDER", relay.folder)),
    );
    expectFinding(checked, finds, relay);
    expect(checked.status).toBe(status);
  });

  test("nothing else where all is well but that no relay runs", async () => {
    const checked = await check(relay);
    expect(complaints(checked)).toEqual(["relay: warning: no relay is running"]);
    expect(checked.status).toBe(0);
  });
});

describe("check and a relay that runs", () => {
  test("finds its ports, and hears that it is well", async () => {
    const [one, other] = [await freePort(), await freePort()];
    await relay.configure(
      `[listen]\nsubmission = ["127.0.0.1:${one}"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:${other}"`,
    );
    await relay.start();
    const checked = await check(relay);
    expect(complaints(checked)).toEqual([]);
    expectFinding(
      checked,
      ["ports", "ok", new RegExp(`:${one}: the running relay's \\(process ${relay.pid}\\)`)],
      relay,
    );
    expectFinding(checked, ["relay", "ok", /runs, version/], relay);
    expectFinding(checked, ["relay", "ok", /\/healthz: ok/], relay);
    expectFinding(checked, ["limits", "ok", /the running relay has \d+ descriptors/], relay);
  });

  test("gives it a moment to read its first password file", async () => {
    const port = await freePort();
    const logins = inFolder(relay, "mail-passwords");
    await relay.configure(
      `[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:${port}"`,
    );
    await rename(logins, `${logins}.later`);
    await relay.start();
    const health = async (): Promise<string> => (await fetch(`http://127.0.0.1:${port}/healthz`)).text();
    expect(await health()).toMatch(/no password file could be read yet/);
    await rename(`${logins}.later`, logins);
    const checked = await check(relay);
    expect(complaints(checked)).toEqual([]);
    expectFinding(checked, ["relay", "ok", /\/healthz: ok/], relay);
  });

  test("hears that it refuses every message", async () => {
    const port = await freePort();
    await relay.configure(
      `[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:${port}"\n` +
        '[spool]\ndirectory = "FOLDER/spool"\nreserve = "900000G"',
    );
    await relay.start();
    const checked = await check(relay);
    expectFinding(checked, ["relay", "failed", /\/healthz: the spool has \d+ octets left/], relay);
    expect(checked.status).toBe(69);
  });

  test("takes the note of one that was killed for what it is", async () => {
    await relay.start();
    relay.signal("SIGKILL");
    await relay.ended;
    expectFinding(await check(relay), ["relay", "warning", /no relay is running/], relay);
  });
});

describe("check prints", () => {
  const checkWith = (...words: readonly string[]) =>
    run(process.execPath, [program, "check", "--offline", "--config", relay.config, ...words]);

  test("a line for each, whole in a pipe, with what to do below it", async () => {
    await chmod(inFolder(relay, "key.pem"), 0o666);
    const { status, stdout } = await checkWith();
    expect(status).toBe(78);
    expect(stdout).toMatch(/^ok {7}config {7}\S+tpa-submit\.toml: every setting is understood$/m);
    expect(stdout).toMatch(
      /^FAILED {3}files {8}\S+key\.pem: the private key can be changed by everybody \(mode 0666\); chmod o-w it\n {22}-> chown, chgrp or chmod it: .*$/m,
    );
  });

  test("no line that is wider than a terminal", async () => {
    const { shown } = await onTerminal(`check --offline --config ${relay.config}`, []);
    const lines = shown.replace(/\u001b\[[\d;?]*[a-zA-Z]/g, "").split("\n");
    const report = lines.slice(lines.findIndex((line) => /ok {7}config/.test(line)) + 1);
    expect(report.length).toBeGreaterThan(20);
    expect(report.filter((line) => line.length > 80)).toEqual([]);
  });

  test("one line for Nagios first, and its grade as the status", async () => {
    const fine = await checkWith("--nagios");
    expect(fine.stdout).toMatch(/^CHECK WARNING - relay: no relay is running\n/);
    expect(fine.status).toBe(1);
    await rm(inFolder(relay, "mail-passwords"));
    const { status, stdout } = await checkWith("--nagios");
    expect(stdout).toMatch(/^CHECK CRITICAL - passwords: .*nobody could log in/);
    expect(status).toBe(2);
  });

  test("what is wrong with the command line, and nothing else", async () => {
    const { status, stdout, stderr } = await checkWith("--json", "--nagios");
    expect(stderr).toBe("");
    expect([status, stdout]).toEqual([
      3,
      "CHECK UNKNOWN - --json and --nagios do not go together; see tpa-submit check --help\n",
    ]);
    const wrong = await checkWith("--unit", "no-such.service");
    expect([wrong.status, wrong.stderr]).toEqual([
      64,
      "tpa-submit check: --unit: there is no unit no-such.service; see tpa-submit check --help\n",
    ]);
  });
});
