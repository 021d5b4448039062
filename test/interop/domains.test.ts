/** Two domains on one relay, whose people come from one directory: the real relay, and a real slapd. */
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import {
  authPlain,
  type Conversation,
  expecting,
  greet,
  note,
  submit,
} from "../commands/serve/conversation.ts";
import { hashes, passwordOf } from "../ldap/cases.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd, suffix } from "../ldap/slapd.ts";
import { pairs } from "../server/delivery/dkim/site.ts";
import { run, start } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { capturingHop, type Hop } from "./hops.ts";

const netPeople = `ou=net,${suffix}`;
const inNet = (ldif: string): string => ldif.replaceAll(people, netPeople);

/** Somebody called anna is in each domain, with a password of her own. */
const anna = { login: "anna", address: "anna@example.org", password: passwordOf("blf") };
const otherAnna = { login: "anna@example.net", address: "anna@example.net", password: passwordOf("other") };

const sshKey = "AAAAC3NzaC1lZDI1NTE5AAAAIDRxvKHUEwykdfDRDmTZCi6mCeWN+hdobISc06ENngq6";

const entries = [
  person("anna", `mailPassword: ${hashes["blf"]}\nsshRSAAuthKey: ssh-ed25519 ${sshKey}`),
  `dn: ${netPeople}\nobjectClass: organizationalUnit\nou: net\n\n`,
  inNet(person("anna", `mailPassword: ${hashes["other"]}\nmailAlias: sales@example.net`)),
  inNet(person("bert", `mailPassword: ${hashes["blf"]}`)),
  inNet(person("carl", `sshRSAAuthKey: ssh-ed25519 ${sshKey.replace("U", "V")}`)),
];

const help = "https://www.example.net/mail";

describe.skipIf(!real(...slapdPrograms))("a relay with two domains", () => {
  let slapd: Slapd;
  let relay: Relay;
  let keys = "";
  let hop: Hop;
  let netHop: Hop;

  /** The settings; `more` are further tables, `net` further lines of the second domain. */
  const settings = (more = "", net = ""): string => `[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = "127.0.0.1:0"
[limits]
messages-per-hour = 8
[senders]
aliases = "FOLDER/aliases"
[dkim]
folder = "${keys}"
[delivery]
${hop.delivery}
[[route]]
to = "stuck.example.com"
relay = "smtp://127.0.0.1:1"
[[route]]
login-domain = "example.net"
${netHop.delivery}
[ldap]
url = ["${slapd.ldapi}"]
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "FOLDER/directory-password"
sender-attribute = "mailAlias"
ssh-key-attribute = "sshRSAAuthKey"
[ssh]
keys = "FOLDER/ssh-keys"
[[domains]]
name = "example.net"
password-file = "FOLDER/net-passwords"
wrong-text = "Wrong at example.net"
help = "${help}"
postmaster = "postmaster@example.net"
sender-aliases = "FOLDER/net-aliases"
ldap-base = "${netPeople}"
${net}
${more}`;

  const tpa = (...words: readonly string[]) =>
    run(process.execPath, [program, ...words, "--config", relay.config]);

  async function said(...words: readonly string[]): Promise<string> {
    const { status, stdout, stderr } = await tpa(...words);
    expect({ status, stderr: status === 0 ? "" : stderr }).toEqual({ status: 0, stderr: "" });
    return stdout;
  }

  async function signedIn({
    login,
    password,
  }: Pick<typeof anna, "login" | "password">): Promise<Conversation> {
    const talk = await greet(relay, "submissions");
    await expecting("235", talk.say(authPlain(login, password)));
    return talk;
  }

  async function attempt(login: string, password: string): Promise<string> {
    const talk = await greet(relay, "submissions");
    const reply = await talk.say(authPlain(login, password));
    talk.close();
    return reply;
  }

  const reload = async (): Promise<string> => {
    const before = relay.log().length;
    relay.signal("SIGHUP");
    await relay.logged(/re-read[\s\S]*mail-passwords: \d+ logins/, before);
    return relay.log().slice(before);
  };

  const letter = (from: string, token: string): string =>
    note(token).replace("From: user1@example.org", `From: ${from}`);

  beforeAll(async () => {
    keys = await mkdtemp(join(tmpdir(), "tpa-submit-domains-"));
    for (const domain of ["example.org", "example.net"]) {
      await mkdir(join(keys, domain));
      const pem = pairs.ed25519.privateKey.export({ type: "pkcs8", format: "pem" });
      await writeFile(join(keys, domain, `${domain.at(-1)}1.ed25519.pem`), pem, { mode: 0o640 });
    }
    [hop, netHop, slapd] = await Promise.all([
      capturingHop(),
      capturingHop(),
      startSlapd({ entries: entries.join("") }),
    ]);
    relay = await prepareRelay(settings());
    await writeFile(join(relay.folder, "directory-password"), reader.password);
    expect(await tpa("sync", "--allow-shrink", "--quiet")).toEqual({ status: 0, stdout: "", stderr: "" });
    await relay.start();
  });
  afterAll(async () => {
    await relay?.stop();
    await Promise.all([hop?.stop(), netHop?.stop(), slapd?.remove()]);
    await rm(keys, { recursive: true, force: true });
  });

  test("one sync writes the file of each", async () => {
    expect(await readFile(join(relay.folder, "mail-passwords"), "utf8")).toBe(`anna:${hashes["blf"]}\n`);
    expect(await readFile(join(relay.folder, "net-passwords"), "utf8")).toBe(
      `anna:${hashes["other"]}\nbert:${hashes["blf"]}\n`,
    );
    expect(await readFile(join(relay.folder, "net-aliases"), "utf8")).toBe("sales@example.net: anna\n");
    const keys = await readFile(join(relay.folder, "ssh-keys"), "utf8");
    expect(keys).toBe(
      `anna ssh-ed25519 ${sshKey}\ncarl@example.net ssh-ed25519 ${sshKey.replace("U", "V")}\n`,
    );
    const lines = (await said("sync", "--json")).trimEnd().split("\n");
    expect(lines.map((line) => (JSON.parse(line) as { domain: string }).domain)).toEqual([
      "example.org",
      "example.net",
    ]);
  });

  test("the directory's losses in one domain keep the other from nothing", async () => {
    await slapd.modify(`dn: uid=bert,${netPeople}\nchangetype: modify\ndelete: mailPassword\n`);
    await slapd.modify(person("carla", `mailPassword: ${hashes["blf"]}`));
    try {
      const { status, stderr } = await tpa("sync");
      expect(status).toBe(65);
      expect(stderr).toMatch(/net-passwords stays as it is: 1 of 2 logins would go/);
      expect(stderr).toMatch(/mail-passwords replaced: 2 logins, 1 added/);
      expect(await readFile(join(relay.folder, "mail-passwords"), "utf8")).toContain("carla:");
    } finally {
      await slapd.modify(
        `dn: uid=bert,${netPeople}\nchangetype: modify\nadd: mailPassword\nmailPassword: ${hashes["blf"]}\n`,
      );
      await slapd.modify(`dn: uid=carla,${people}\nchangetype: delete\n`);
    }
    expect((await tpa("sync", "--allow-shrink")).status).toBe(0);
  });

  test("sync --explain looks where the domain's people are", async () => {
    expect(await said("sync", "--explain", "bert@example.net")).toContain(`uid=bert,${netPeople}`);
  });

  test.each([
    ["anna", anna.password, "235 "],
    ["Anna@EXAMPLE.org", anna.password, "235 "],
    ["anna@example.net", otherAnna.password, "235 "],
    ["ANNA@Example.NET", otherAnna.password, "235 "],
    ["anna", otherAnna.password, "535 5.7.8 Authentication failed:"],
    ["anna@example.net", anna.password, "535 5.7.8 Wrong at example.net"],
    ["nobody@example.net", anna.password, "535 5.7.8 Wrong at example.net"],
    ["bert", anna.password, "535 5.7.8 Authentication failed:"],
    ["anna@example.com", anna.password, "535 5.7.8 Authentication failed:"],
  ])("%s with %j: %s", async (login, password, reply) => {
    expect(await attempt(login, password)).toMatch(new RegExp(`^${reply}`));
  });

  test("a sender of the other domain is refused, with where help is", async () => {
    const talk = await signedIn(otherAnna);
    expect(await talk.say("MAIL FROM:<anna@example.org>")).toBe(
      `550 5.7.1 anna@example.net may not send as anna@example.org, but as: anna@example.net, sales@example.net; see ${help}`,
    );
    await expecting("250", talk.say("MAIL FROM:<sales@example.net>"));
    await expecting("250", talk.say("RCPT TO:<x@example.com>"));
    await expecting("354", talk.say("DATA"));
    expect(await talk.say(`${letter("anna@example.org", "forged")}.`)).toMatch(
      /^550 5\.7\.1 anna@example\.net may not send as anna@example\.org in the From field, but as: .*; see https:/,
    );
    talk.close();
    const main = await signedIn(anna);
    expect(await main.say("MAIL FROM:<anna@example.net>")).toBe(
      "550 5.7.1 anna may not send as anna@example.net, but as: anna@example.org",
    );
    main.close();
  });

  test("each goes its way, signed by the key of its domain", async () => {
    const talk = await signedIn(anna);
    await submit(talk, letter(anna.address, "of-org"), { from: anna.address });
    talk.close();
    const other = await signedIn(otherAnna);
    await submit(other, letter(otherAnna.address, "of-net"), { from: otherAnna.address });
    other.close();
    expect(await hop.arrived("of-org")).toMatch(/^DKIM-Signature: [^\n]*d=example\.org;\r\n\ts=g1;/);
    expect(await netHop.arrived("of-net")).toMatch(/^DKIM-Signature: [^\n]*d=example\.net;\r\n\ts=t1;/);
  });

  test("a postmaster without a domain is that of the login's", async () => {
    const talk = await signedIn(otherAnna);
    const id = await submit(talk, letter(otherAnna.address, "to-postmaster"), {
      from: otherAnna.address,
      to: ["postmaster"],
    });
    talk.close();
    await netHop.arrived("to-postmaster");
    await relay.logged(new RegExp(`${id}: to=<postmaster@example\\.net>`));
  });

  test("a report tells whom to ask", async () => {
    const talk = await signedIn(otherAnna);
    const id = await submit(talk, letter(otherAnna.address, "stuck-net"), {
      from: otherAnna.address,
      to: ["x@stuck.example.com"],
    });
    talk.close();
    await relay.logged(new RegExp(`${id}: to=<x@stuck\\.example\\.com>.*status=deferred`));
    await said("queue", "bounce", "--yes", id);
    const report = await hop.arrived(id);
    expect(report).toContain("\r\nReply-To: <postmaster@example.net>\r\n");
    expect(report).toContain(`If you need help, give postmaster@example.net this number: ${id}\r\n`);
    expect(report).toContain(`You may find help here: ${help}\r\n`);
  });

  test("the limit of one leaves the namesake alone", async () => {
    const talk = await signedIn(otherAnna);
    let reply = "";
    for (let at = 0; at < 9 && !reply.startsWith("450"); at += 1) {
      reply = await talk.say(`MAIL FROM:<${otherAnna.address}>`);
      if (!reply.startsWith("250")) break;
      await expecting("250", talk.say("RCPT TO:<x@example.com>"));
      await expecting("354", talk.say("DATA"));
      reply = await talk.say(`${letter(otherAnna.address, `many-${at}`)}.`);
    }
    talk.close();
    expect(reply).toMatch(/^450 4\.7\.1 The limit of 8 messages an hour is reached; .*; see https:/);
    const main = await signedIn(anna);
    await submit(main, letter(anna.address, "still-allowed"), { from: anna.address });
    main.close();
  });

  test("a freeze of one leaves the namesake alone", async () => {
    await said("login", "freeze", "Anna@example.net", "--reason", "stolen");
    expect(await attempt(otherAnna.login, otherAnna.password)).toMatch(/^525 5\.7\.13 .*; see https:/);
    expect(await attempt("anna", anna.password)).toMatch(/^235/);
    const verified = await run(
      process.execPath,
      [program, "passwd", "--verify", otherAnna.login, "--config", relay.config],
      `${otherAnna.password}\n`,
    );
    expect(verified.stdout).toMatch(/^anna@example\.net: not let in: frozen since .* stolen\n$/);
    await said("login", "thaw", "--yes", "anna@example.net");
    expect(await attempt(otherAnna.login, otherAnna.password)).toMatch(/^235/);
  });

  test("the commands know whose login it is", async () => {
    const listed = (await said("login", "list", "--domain", "example.net", "--json")).trimEnd().split("\n");
    const names = listed.map((line) => (JSON.parse(line) as { login: string }).login);
    expect(names).toContain("anna@example.net");
    expect(names.every((name) => name.endsWith("@example.net"))).toBe(true);
    expect(await said("login", "list", "--domain", "example.org")).not.toContain("@example.net");
    expect((await tpa("login", "list", "--domain", "example.com")).status).toBe(64);
    expect(await said("login", "show", "anna@example.net")).toMatch(/1 line in \S*net-passwords/);
    expect(await said("login", "show", "anna@example.org")).toMatch(/1 line in \S*mail-passwords/);
    expect(await said("trace", "anna@example.net")).toContain("anna@example.net");
    expect(await said("settings", "thunderbird", "--login", "bert@example.net")).toMatch(
      /User Name +bert@example\.net/,
    );
    expect(await said("settings", "mutt", "--login", "bert@example.net")).toContain("//bert%40example.net@");
    const status = await said("status");
    expect(status).toMatch(/example\.net: \S*net-passwords written/);
    expect(status).toMatch(/example\.net 8 messages to/);
  });

  test("a trace and the queue tell namesakes apart", async () => {
    const ofMain = await said("trace", "anna", "--json");
    expect(ofMain).toContain('"anna@example.org"');
    expect(ofMain).not.toContain('"login":"anna@example.net"');
    const talk = await signedIn({ login: "bert@example.net", password: passwordOf("blf") });
    const to = ["y@stuck.example.com"];
    const id = await submit(talk, letter("bert@example.net", "waits"), { from: "bert@example.net", to });
    talk.close();
    const listed = (login: string) => said("queue", "list", "--json", "--user", login);
    await until("the message in the queue", async () => (await listed("Bert@example.net")) || undefined);
    expect(await listed("bert@example.net")).toContain(id);
    expect(await listed("bert")).toBe("");
    await said("queue", "drop", "--yes", id);
  });

  test("passwd writes the file of the login's domain", async () => {
    const words = [program, "passwd", "--set", "dora@example.net", "--config", relay.config];
    const { status } = await run(process.execPath, words, "a password of dora's\na password of dora's\n");
    expect(status).toBe(0);
    expect(await readFile(join(relay.folder, "net-passwords"), "utf8")).toContain("dora@example.net:");
    expect(await readFile(join(relay.folder, "mail-passwords"), "utf8")).not.toContain("dora");
    expect(await attempt("dora@example.net", "a password of dora's")).toMatch(/^235/);
    expect(await attempt("dora", "a password of dora's")).toMatch(/^535/);
  });

  async function metrics(): Promise<string> {
    const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
    return (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
  }

  test("the metrics count by domain", async () => {
    const text = await metrics();
    expect(text).toContain('tpa_submit_domain_logins{domain="example.org"} 1\n');
    expect(text).toContain('tpa_submit_domain_logins{domain="example.net"} 3\n');
    expect(text).toContain('tpa_submit_domain_messages_total{domain="example.net"} 9\n');
    expect(text).toMatch(
      /tpa_submit_domain_auth_attempts_total\{domain="example\.net",result="refused"\} [1-9]/,
    );
    expect(text).not.toMatch(/domain="example\.com"/);
  });

  test("sync --watch brings each domain's changes to its own file", async () => {
    const before = (await readFile(join(relay.folder, "mail-passwords"))).toString();
    await said("passwd", "--delete", "dora@example.net"); // she is not in the directory
    const watch = start(process.execPath, [program, "sync", "--watch", "--config", relay.config]);
    try {
      const others = ["frida", "gerd"].map((uid) => inNet(person(uid, `mailPassword: ${hashes["blf"]}`)));
      const passwords = async () => (await readFile(join(relay.folder, "net-passwords"))).toString();
      await slapd.modify(others.join(""));
      await until("both", async () => (/^frida:.*\ngerd:/m.test(await passwords()) ? true : undefined));
      expect(await attempt("gerd@example.net", passwordOf("blf"))).toMatch(/^235/);
      expect((await readFile(join(relay.folder, "mail-passwords"))).toString()).toBe(before);
    } finally {
      await watch.stop();
    }
  });

  test("sync --watch learns by SIGHUP of domains that come and go, and tells of each by itself", async () => {
    const gauges = `[sync]\nmetrics-file = "FOLDER/sync.prom"\n`;
    const third = `[[domains]]\nname = "example.com"\npassword-file = "FOLDER/com-synced"\nldap-base = "${netPeople}"\n`;
    const written = async (): Promise<string> =>
      readFile(join(relay.folder, "sync.prom"), "utf8").catch(() => "");
    await relay.configure(settings(gauges));
    const watch = start(process.execPath, [program, "sync", "--watch", "--config", relay.config]);
    const wait = async (why: string, is: () => boolean | Promise<boolean>): Promise<void> => {
      await until(why, async () => ((await is()) ? true : undefined));
    };
    try {
      await wait("both", async () => {
        const text = await written();
        return ["org", "net"].every((end) => text.includes(`last_run_success{domain="example.${end}"} 1\n`));
      });
      await relay.configure(settings(third + gauges));
      process.kill(watch.pid, "SIGHUP");
      await wait("the third", async () =>
        (await written()).includes('tpa_submit_sync_last_run_success{domain="example.com"} 1\n'),
      );
      expect(await readFile(join(relay.folder, "com-synced"), "utf8")).toMatch(/^bert:/m);

      await relay.configure(settings("[nonsense]\n"));
      process.kill(watch.pid, "SIGHUP");
      await wait("the mistake", () => watch.output().includes("the settings of before stay in use"));
      await relay.configure(settings(gauges));
      process.kill(watch.pid, "SIGHUP");
      await wait("the end", () =>
        watch.output().includes("example.com: its accounts come from the directory no more"),
      );
      await wait("its metrics", async () => !(await written()).includes("example.com"));
      expect(await written()).toContain('tpa_submit_sync_users{domain="example.net",scheme="');
      expect(watch.output()).toContain("example.com: its accounts come from the directory from now on\n");
    } finally {
      await watch.stop();
      await rm(join(relay.folder, "com-synced"), { force: true });
      await relay.configure(settings());
    }
  });

  test("passwd --check looks at the file of each domain", async () => {
    const { status, stdout, stderr } = await tpa("passwd", "--check");
    expect([status, stderr]).toEqual([0, ""]);
    expect(stdout).toMatch(/mail-passwords: 1 lines with a password/);
    expect(stdout).toMatch(/net-passwords: 4 lines with a password/);
    const json = await said("passwd", "--check", "--json");
    const files = json
      .trim()
      .split("\n")
      .map((line) => (JSON.parse(line) as { file: string }).file);
    expect(files).toEqual(["mail-passwords", "net-passwords"].map((name) => join(relay.folder, name)));

    const third = `[[domains]]\nname = "example.com"\npassword-file = "FOLDER/nowhere"\n`;
    await relay.configure(settings(third));
    const wrong = await tpa("passwd", "--check");
    await relay.configure(settings());
    expect(wrong.status).not.toBe(0);
    expect(wrong.stderr).toMatch(/^tpa-submit passwd: [^\n]*nowhere[^\n]*\n$/);
    expect(wrong.stdout).toMatch(/net-passwords: 4 lines/);
  });

  test("check judges the files of each", async () => {
    const { stdout } = await tpa("check", "--offline");
    expect(stdout).toMatch(/net-passwords[^\n]* 4 logins/);
    expect(stdout).toMatch(/number 2: of logins at example\.net goes to smtp:/);
    expect(stdout).toMatch(/example\.net[^\n]*policy own, with \S*net-aliases/);
  });

  test("a reload refuses a domain whose file is wrong, and all stays", async () => {
    const third = `[[domains]]\nname = "example.com"\npassword-file = "FOLDER/com-passwords"\n`;
    await relay.configure(settings(third, 'dkim-folder = "off"'));
    expect(await reload()).toMatch(/example\.com: password file \S*com-passwords: ENOENT/);
    expect(await attempt(otherAnna.login, otherAnna.password)).toMatch(/^235/);
    expect(await attempt("erik@example.com", anna.password)).toMatch(/^535 5\.7\.8 Authentication failed/);

    await writeFile(join(relay.folder, "com-passwords"), `erik:${hashes["blf"]}\nanna:${hashes["blf"]}\n`);
    await reload();
    const erik = await signedIn({ login: "erik@example.com", password: anna.password });
    await submit(erik, letter("erik@example.com", "of-com"), { from: "erik@example.com" });
    expect(await hop.arrived("of-com")).not.toContain("DKIM-Signature");
    expect(await metrics()).toContain('tpa_submit_domain_logins{domain="example.com"} 2\n');

    const bert = await signedIn({ login: "bert@example.net", password: passwordOf("blf") });
    await submit(bert, letter("bert@example.net", "off"), { from: "bert@example.net" });
    expect(await netHop.arrived("off")).not.toContain("DKIM-Signature");
    bert.close();

    const apart = join(keys, "apart", "example.net");
    await mkdir(apart, { recursive: true });
    const pem = pairs.rsa.privateKey.export({ type: "pkcs8", format: "pem" });
    await writeFile(join(apart, "own.rsa.pem"), pem, { mode: 0o640 });
    await relay.configure(settings(third, `dkim-folder = "${keys}/apart"`));
    await reload();
    const again = await signedIn({ login: "bert@example.net", password: passwordOf("blf") });
    await submit(again, letter("bert@example.net", "apart"), { from: "bert@example.net" });
    expect(await netHop.arrived("apart")).toMatch(/^DKIM-Signature: [^\n]*d=example\.net;\r\n\ts=own;/);
    again.close();

    await relay.configure(settings());
    await reload();
    expect(await erik.say("NOOP")).toMatch(/^421/);
    expect(await attempt("erik@example.com", anna.password)).toMatch(/^535/);
    expect(await metrics()).not.toContain('domain="example.com"');
  });

  test("a mistake in the table is refused, and the old stays", async () => {
    await relay.configure(settings("", 'name = "example.org"').replace('name = "example.net"\n', ""));
    expect(await reload()).toContain('domains.name: expected each domain once, found "example.org" again');
    expect(await attempt(otherAnna.login, otherAnna.password)).toMatch(/^235/);
    await relay.configure(settings());
    await reload();
  });

  test("an address of the other domain is not given away by a domain's file", async () => {
    await writeFile(join(relay.folder, "net-aliases"), "press@example.org: bert\nshop@example.net: bert\n");
    await reload();
    const talk = await signedIn({ login: "bert@example.net", password: passwordOf("blf") });
    expect(await talk.say("MAIL FROM:<press@example.org>")).toMatch(/^550 5\.7\.1/);
    await expecting("250", talk.say("MAIL FROM:<shop@example.net>"));
    talk.close();
    expect((await tpa("check", "--offline")).stdout).toMatch(
      /warning +senders .*net-aliases: press@example\.org is not of example\.net, and is passed over/,
    );
  });
});

describe("a relay with one domain", () => {
  let relay: Relay;
  beforeAll(async () => {
    relay = await prepareRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = "127.0.0.1:0"`);
    await relay.start();
  });
  afterAll(async () => {
    await relay?.stop();
  });

  test("says, logs and counts nothing of domains", async () => {
    const talk = await greet(relay, "submissions");
    expect(await talk.say(authPlain("user1@example.net", relay.password))).toBe(
      "535 5.7.8 Authentication failed: check your user name and your e-mail password",
    );
    await expecting("235", talk.say(authPlain("User1@example.org", relay.password)));
    expect(await talk.say("MAIL FROM:<user1@example.net>")).toBe(
      "550 5.7.1 user1 may not send as user1@example.net, but as: user1@example.org",
    );
    await submit(talk, note("as-ever"), { to: ["postmaster"] });
    talk.close();
    await relay.logged(/to=<postmaster@example\.org>/);
    const log = relay.log();
    expect(log).toMatch(/SASL PLAIN authentication failed: unknown user, sasl_username=user1@example\.net/);
    expect(log).toMatch(/client=unknown\[127\.0\.0\.1\], sasl_method=PLAIN, sasl_username=user1\n/);
    const [, port] = await relay.logged(/listening for http on \S+:(\d+)/);
    expect(await (await fetch(`http://127.0.0.1:${port}/metrics`)).text()).not.toMatch(/_domain_|domain=/);
    const { stdout } = await run(process.execPath, [program, "status", "--json", "--config", relay.config]);
    expect(JSON.parse(stdout)).not.toHaveProperty("domains");
  });
});
