/**
 * A scripted day of a relay, for docs/playbook.md: at each of its moments the commands of an on-call person are run as they
 * are typed there, and what they say is kept.
 *
 * Yesterday a message bounced. Today one large receiver puts mail off, a user types the wrong password, a login is stolen,
 * the certificate is near its end, the directory is down, the disk is full, and at last the relay is gone.
 */
import { chmod, mkdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { prepareRelay, program, type Relay } from "../../demo/relay.mjs";
import { authPlain, expecting, greet, submit } from "../commands/serve/conversation.ts";
import { selfSigned } from "../tools/certificate.ts";
import { run } from "../tools/child.mjs";
import { nameServer, type Records } from "../tools/dns.ts";
import { fakeServer } from "../tools/fakeserver.ts";
import { freePort } from "../tools/port.mjs";
import { until } from "../tools/until.ts";
import { settableClock } from "../torture/clock.ts";

/** Of the terminal. */
const columns = 100;
/** What moves its cursor, and what turns while one waits. */
const signs = new RegExp(`${String.fromCharCode(27)}\\[[0-9;?]*[A-Za-z]`, "g");
const spinner = /[\u2800-\u28ff] looking/g;

/** What was typed, and what stood on the terminal after it. */
export interface Answer {
  readonly command: string;
  readonly output: string;
}

const gmail = "127.0.0.2";
const other = "127.0.0.3";
const zone = new Map<string, Records>([
  ["gmail.com", { mx: [[5, "gmail-smtp-in.l.google.com"]] }],
  ["gmail-smtp-in.l.google.com", { a: [gmail] }],
  ["example.net", { mx: [[10, "mx.example.net"]] }],
  ["example.org", { mx: [[10, "mx.example.net"]] }],
  ["example.com", { mx: [[10, "mx.example.net"]] }],
  ["mx.example.net", { a: [other] }],
]);

const putOff =
  "421-4.7.28 Gmail has detected an unusual rate of unsolicited mail originating\n" +
  "421-4.7.28 from your IP address. To protect our users from spam, mail sent\n" +
  "421 4.7.28 from your IP address has been temporarily rate limited.";

/** Lives through it. The commands are asked for one after another, each by a name. */
export async function day(): Promise<ReadonlyMap<string, Answer>> {
  const port = await freePort(gmail, other);
  const names = await nameServer(zone);
  const google = await fakeServer({ MAIL: putOff }, { at: { host: gmail, port } });
  const elsewhere = await fakeServer(
    {
      greeting: "220 mx.example.net ESMTP",
      RCPT: (to) =>
        to.includes("nobody@") ? "550 5.1.1 <nobody@example.com>: no such user here" : "250 2.1.5 ok",
    },
    { at: { host: other, port } },
  );
  const settings = `[delivery]
relay = "mx"
nameservers = ["${names.address}"]
port = ${port}
private-addresses = true
mta-sts = false

[limits]
messages-per-hour = 12
connections = 100

[ldap]
url = "ldap://127.0.0.1:${await freePort()}"
starttls = false
base = "ou=users,dc=example,dc=org"
`;
  const relay = await prepareRelay(settings);
  try {
    return await live(relay, settings, port);
  } finally {
    await relay.stop();
    for (const server of [names, google, elsewhere]) await server.close();
  }
}

async function live(relay: Relay, settings: string, port: number): Promise<ReadonlyMap<string, Answer>> {
  const answers = new Map<string, Answer>();
  const type = await terminal(relay);
  const ask = async (name: string, command: string): Promise<void> => {
    answers.set(name, { command, output: await type(command) });
  };
  /** Asks again until the history, which is written in batches, has what the answer needs. */
  const askUntil = async (name: string, pattern: RegExp, command: string): Promise<void> => {
    await until(`${String(pattern)} from ${command}`, async () => {
      await ask(name, command);
      return pattern.test(answers.get(name)?.output ?? "") || undefined;
    });
  };

  const { cert, key } = selfSigned(["relay.example.org", "localhost"], 5);
  await writeFile(join(relay.folder, "certificate.pem"), cert);
  await writeFile(join(relay.folder, "key.pem"), key, { mode: 0o600 });
  const passwords = join(relay.folder, "mail-passwords");
  const [, hash = ""] = (await readFile(passwords, "utf8")).trim().split(/:(.*)/);
  await writeFile(passwords, ["anna", "ben", "carla"].map((login) => `${login}:${hash}\n`).join(""), {
    mode: 0o600,
  });

  // Yesterday.
  const clock = await settableClock(relay.folder);
  if (clock === undefined) throw new Error("this day needs libfaketime");
  await clock.set(-86_400);
  relay.environment = clock.environment;
  await relay.start();
  await send(relay, "anna", "nobody@example.com");
  await relay.logged(/to=<nobody@example.com>.*status=bounced/);
  await relay.logged(/to=<anna@example.org>.*status=sent/);
  await end(relay, "SIGTERM");

  // This morning.
  relay.environment = {};
  await relay.start();
  const arrived = await send(relay, "anna", "office@example.net");
  await relay.logged(new RegExp(`${arrived}: removed`));
  await askUntil("arrived", /has taken it/, "tpa-submit trace office@example.net");
  await ask("bounced", "tpa-submit trace --since 2d nobody@example.com");
  await ask("door", `tpa-submit probe -s 127.0.0.1 -p ${relay.submission} -h laptop.example.org -tls -q TLS`);

  // Gmail takes nothing.
  const late = await send(relay, "ben", "friend@gmail.com");
  await relay.logged(/to=<friend@gmail.com>.*status=deferred/);
  await send(relay, "anna", "cousin@gmail.com");
  await relay.logged(/to=<cousin@gmail.com>.*status=deferred/);
  await askUntil("late", /accepted from[\s\S]*it waits/, "tpa-submit trace friend@gmail.com");
  await ask("summary", "tpa-submit queue summary");
  await ask("why", `tpa-submit queue show ${late}`);
  const before = relay.log().length;
  await ask("retry", "tpa-submit queue retry --domain gmail.com --yes");
  await relay.logged(/to=<friend@gmail.com>.*status=deferred/, before);
  const way = `smtp://${other}:${port}`;
  await ask("redirect", `tpa-submit queue redirect --recipient cousin@gmail.com --relay ${way} --yes`);
  await relay.logged(/to=<cousin@gmail.com>.*status=sent/);

  // Ben tries one old password after another.
  const guesses = Array.from({ length: 10 }, async (_, at) => {
    const talk = await greet(relay);
    await expecting("535", talk.say(authPlain("ben", `old password ${at}`)));
    talk.close();
  });
  await Promise.all(guesses);
  await askUntil("wrong-password", /blocked[\s\S]*refusal/, "tpa-submit login show ben");
  await ask("trouble", "tpa-submit login list --by trouble");
  await ask("verify", "tpa-submit passwd --verify ben < typed-by-ben");
  await ask("unblock", "tpa-submit login unblock ben");

  // Somebody else has Carla's.
  const talk = await greet(relay);
  await expecting("235", talk.say(authPlain("carla", relay.password)));
  const victims = Array.from(
    { length: 12 },
    (_, at) => `victim${at}@${at < 10 ? "example.net" : "gmail.com"}`,
  );
  for (const to of victims) {
    await submit(talk, letter("carla", to), { from: "carla@example.org", to: [to] });
  }
  await expecting("450", talk.say("MAIL FROM:<carla@example.org>"));
  await relay.logged(/to=<victim11@gmail.com>.*status=deferred/);
  await relay.logged(/to=<victim9@example.net>.*status=sent/);
  await askUntil("volume", /carla +12/, "tpa-submit login list --since 1h");
  await ask("freeze", 'tpa-submit login freeze carla --reason "password stolen"');
  talk.close();
  await askUntil("victims", /(?:has taken[\s\S]*){2}/, "tpa-submit trace --limit 2 carla example.net");
  await ask("evidence", "tpa-submit queue list --user carla");
  await ask("drop", "tpa-submit queue drop --user carla --yes");
  await ask("thaw", "tpa-submit login thaw carla --yes");

  // What nobody sees who does not look.
  await askUntil("status", /carla +12/, "tpa-submit status");
  await ask("certificate", "tpa-submit check --offline | grep -A1 '^[a-zA-Z]* *certificate'");
  await ask("directory", "tpa-submit sync --dry-run");

  // The disk is full: nothing is as large as what must stay free.
  await end(relay, "SIGTERM");
  await relay.configure(`${settings}\n[spool]\ndirectory = "FOLDER/spool"\nreserve = "100000000G"\n`);
  await relay.start();
  await askUntil("full", /carla +12/, "tpa-submit status");

  // Nobody answers.
  await end(relay, "SIGKILL");
  await ask("gone", "tpa-submit status");
  await ask("waits", "tpa-submit queue");
  await relay.configure(settings.replace("mta-sts = false", "mta-sts = flase"));
  await ask("mistake", "tpa-submit check --offline");
  return answers;
}

async function end(relay: Relay, signal: NodeJS.Signals): Promise<void> {
  relay.signal(signal);
  await relay.ended;
}

/** Sends one message; gives its queue ID. */
async function send(relay: Relay, login: string, to: string): Promise<string> {
  const talk = await greet(relay, "submissions");
  await expecting("235", talk.say(authPlain(login, relay.password)));
  const id = await submit(talk, letter(login, to), { from: `${login}@example.org`, to: [to] });
  await talk.say("QUIT");
  talk.close();
  return id;
}

const letter = (login: string, to: string): string =>
  `From: ${login}@example.org\r\nTo: ${to}\r\nSubject: hello\r\nMessage-ID: <${login}.${to}>\r\n\r\nHello.\r\n`;

/** A shell in which the relay is the one of this host: files are where the package has them. */
async function terminal(relay: Relay): Promise<(command: string) => Promise<string>> {
  const folder = join(relay.folder, "bin");
  await mkdir(folder);
  const launcher = join(folder, "tpa-submit");
  await writeFile(
    launcher,
    `#!/bin/sh
case $1 in probe) exec '${process.execPath}' '${program}' "$@";; esac
exec '${process.execPath}' '${program}' "$@" --config '${relay.config}'
`,
  );
  await chmod(launcher, 0o755);
  await writeFile(join(relay.folder, "typed-by-ben"), "old password 1\n");
  const environment = {
    PATH: `${folder}:${process.env["PATH"] ?? ""}`,
    TZ: "UTC",
    LC_ALL: "C.UTF-8",
    NO_COLOR: "1",
    TERM: "xterm",
  };
  const there = new Map([
    ["/var/log/mail.log", join(relay.folder, "mail.log")],
    ["typed-by-ben", join(relay.folder, "typed-by-ben")],
  ]);
  const places = [
    [join(relay.folder, "spool"), "/var/spool/tpa-submit"],
    [join(relay.folder, "mail-passwords"), "/var/lib/tpa-submit/mail-passwords"],
    [join(relay.folder, "certificate.pem"), "/etc/tpa-submit/tls/fullchain.pem"],
    [join(relay.folder, "key.pem"), "/etc/tpa-submit/tls/privkey.pem"],
    [join(relay.folder, "tpa-submit.toml"), "/etc/tpa-submit/tpa-submit.toml"],
  ] as const;
  return async (command) => {
    await writeFile(join(relay.folder, "mail.log"), relay.log());
    let words = command;
    for (const [name, path] of there) words = words.replace(name, path);
    // On a terminal, for there a person reads it: tables are cut to its width.
    const shown = ["-qfec", `stty cols ${columns} rows 50; ${words}`, "/dev/null"];
    const { stdout } = await run("script", shown, "", environment);
    const text = stdout.replaceAll("\r\n", "\n").replace(signs, "").replaceAll(spinner, "").trimEnd();
    return places.reduce((all, [path, place]) => all.replaceAll(path, place), text);
  };
}
