/** What root could do and the service's user cannot: `tpa-submit check` as root finds it all the same. */
import { chmod, chown, mkdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { format } from "../../../src/server/spool/open.ts";
import { asRoot } from "../../tools/as-root.ts";
import { run, runWell } from "../../tools/child.mjs";
import { copyElsewhere, type Elsewhere } from "../../tools/elsewhere.ts";
import { check, expectFinding, type Found, inFolder } from "./checked.ts";

const user = "nobody";

interface Case {
  readonly name: string;
  readonly fault: () => Promise<unknown>;
  readonly finds: readonly [check: string, state: string, says: RegExp];
  readonly status: number;
}

let relay: Relay;
let elsewhere: Elsewhere;
let uid: number;

const own = (name: string): Promise<void> => chown(inFolder(relay, name), uid, -1);

const cases: readonly Case[] = [
  {
    name: "a key that is root's",
    fault: () => chown(inFolder(relay, "key.pem"), 0, 0),
    finds: [
      "files",
      "failed",
      /key\.pem: the private key cannot be read by the service's user nobody: permission denied/,
    ],
    status: 78,
  },
  {
    name: "a certificate in a folder that is closed, as certbot makes it",
    fault: async () => {
      await mkdir(inFolder(relay, "live"), { mode: 0o700 });
      await writeFile(inFolder(relay, "live/chain.pem"), "");
      await relay.configure(
        'user = ""\n[tls]\ncertificate = "FOLDER/live/chain.pem"\nkey = "FOLDER/key.pem"\n[control]\nsocket = ""',
      );
    },
    finds: ["files", "failed", /live\/chain\.pem: .*nobody: permission denied in FOLDER\/live$/],
    status: 78,
  },
  {
    name: "a password file that root wrote first",
    fault: () => chown(inFolder(relay, "mail-passwords"), 0, 0),
    finds: ["passwords", "failed", /mail-passwords: nobody could log in \(EACCES/],
    status: 78,
  },
  {
    name: "a configuration that only root reads",
    fault: () => chmod(relay.config, 0o600),
    finds: ["files", "failed", /tpa-submit\.toml: the settings cannot be read by the service's user nobody/],
    status: 78,
  },
  {
    name: "a spool of another user",
    fault: () => chown(inFolder(relay, "spool"), 0, 0),
    finds: ["spool", "failed", /FOLDER\/spool: cannot be used \(permission denied\)/],
    status: 78,
  },
  {
    name: "a folder in which it cannot make the spool",
    fault: () => rm(inFolder(relay, "spool"), { recursive: true }),
    finds: [
      "spool",
      "failed",
      /FOLDER\/spool: is not there, and the service cannot make it \(permission denied/,
    ],
    status: 78,
  },
  {
    name: "a log that it cannot write",
    fault: async () => {
      await writeFile(inFolder(relay, "mail.log"), "", { mode: 0o600 });
      await relay.configure('user = ""\n[log]\ntarget = "file:FOLDER/mail.log"');
    },
    finds: ["log", "failed", /mail\.log: the service's user nobody cannot write it: permission denied/],
    status: 73,
  },
  {
    name: "a port that is for root",
    fault: () =>
      relay.configure(
        'user = ""\n[listen]\nsubmission = ["127.0.0.1:91"]\nsubmissions = ["127.0.0.1:0"]\nhttp = ""',
      ),
    finds: [
      "ports",
      "failed",
      /127\.0\.0\.1:91: nobody may not listen below port \d+; listen\.submission names it/,
    ],
    status: 69,
  },
];

describe.skipIf(!asRoot("check a relay as its user"))("check by root, of a relay that runs as nobody", () => {
  beforeAll(async () => {
    elsewhere = await copyElsewhere();
    uid = Number(await runWell("id", ["-u", user]));
  });
  afterAll(() => elsewhere?.remove());
  beforeEach(async () => {
    relay = await prepareRelay('user = ""\n');
    await chmod(relay.folder, 0o755);
    await mkdir(inFolder(relay, "spool"), { mode: 0o700 });
    for (const name of ["key.pem", "mail-passwords", "spool"]) await own(name);
    await writeFile(inFolder(relay, "test.service"), `[Service]\nUser=${user}\n`);
  });
  afterEach(() => relay.stop());

  const checkUnit = () => check(relay, ["--offline", "--unit", inFolder(relay, "test.service")], elsewhere);

  test("says who it is, and finds nothing wrong where nothing is", async () => {
    const checked = await checkUnit();
    expectFinding(checked, ["service", "ok", /runs as nobody \(User= of FOLDER\/test\.service\)/], relay);
    expect(checked.findings.filter(({ state }) => state === "failed")).toEqual([]);
    expect(checked.status).toBe(0);
  });

  test.each(cases)("finds $name", async ({ fault, finds, status }) => {
    await fault();
    const checked = await checkUnit();
    expectFinding(checked, finds, relay);
    expect(checked.status).toBe(status);
  });

  test("takes the groups of the unit into account", async () => {
    await chown(
      inFolder(relay, "key.pem"),
      0,
      Number((await runWell("getent", ["group", "daemon"])).split(":")[2]),
    );
    await chmod(inFolder(relay, "key.pem"), 0o640);
    expectFinding(await checkUnit(), ["files", "failed", /key\.pem: the private key cannot be read/], relay);
    await writeFile(inFolder(relay, "test.service"), `[Service]\nUser=${user}\nSupplementaryGroups=daemon\n`);
    expectFinding(
      await checkUnit(),
      ["files", "ok", /key\.pem: the private key can be changed by nobody else/],
      relay,
    );
  });

  test("finds a program that only root can reach", async () => {
    const closed = elsewhere.program.replace(/\/bin\/tpa-submit$/, "");
    await chmod(closed, 0o700);
    try {
      expectFinding(
        await checkUnit(),
        ["program", "failed", /cannot be run by the service's user nobody/],
        relay,
      );
    } finally {
      await chmod(closed, 0o755);
    }
  });

  describe("with a Node.js that does not change its user, as Debian 13's", () => {
    const refusing = `for (const name of ["setgroups", "setgid", "setuid"])
      process[name] = () => { throw new Error(name + "() disabled: io_uring may be enabled") };`;
    const refuses = ["--import", `data:text/javascript,${encodeURIComponent(refusing)}`] as const;

    test("looks all the same", async () => {
      const words = ["check", "--config", relay.config, "--json", "--offline"];
      const unit = ["--unit", inFolder(relay, "test.service")];
      await chown(inFolder(relay, "key.pem"), 0, 0);
      const { status, stdout } = await run(elsewhere.node, [
        ...refuses,
        elsewhere.program,
        ...words,
        ...unit,
      ]);
      const checked = { status, findings: JSON.parse(stdout) as readonly Found[] };
      expectFinding(checked, cases[0]?.finds ?? ["", "", /./], relay);
      expect(checked.status).toBe(78);
    });

    test("changes the spool as its owner", async () => {
      await writeFile(inFolder(relay, "spool/format"), `${format}\n`);
      await own("spool/format");
      const words = ["queue", "freeze", "user1", "--config", relay.config];
      const { status, stderr } = await run(elsewhere.node, [...refuses, elsewhere.program, ...words]);
      expect(stderr).toMatch(/user1/);
      expect(status).toBe(0);
      expect((await stat(inFolder(relay, "spool/frozen"))).uid).toBe(uid);
      expect(await readFile(inFolder(relay, "spool/frozen"), "utf8")).toMatch(/\(uid \d+, sudo by root\)/);
    });
  });

  test("knows the user by the spool where no unit tells, also as serve --check", async () => {
    await chown(inFolder(relay, "key.pem"), 0, 0);
    const checked = await check(relay, ["--offline"], elsewhere);
    expectFinding(checked, ["service", "ok", /runs as nobody \(it has FOLDER\/spool\)/], relay);
    expectFinding(checked, cases[0]?.finds ?? ["", "", /./], relay);
    const alias = await run(process.execPath, [program, "serve", "--check", "--config", relay.config]);
    expect(alias.stderr).toMatch(
      /^tpa-submit serve: \S+key\.pem: the private key cannot be read by the service's user nobody/m,
    );
    expect(alias.status).toBe(78);
  });
});
