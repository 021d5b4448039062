/** Mail by an onion service: the real relay and real clients, with a SOCKS server of ours in place of tor, on loopback. */
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { authPlain, type Conversation, expecting, knock } from "../commands/serve/conversation.ts";
import { run, runWell } from "../tools/child.mjs";
import { type OnionDoor, startOnionDoor } from "../tools/onion-door.ts";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";

vi.setConfig({ testTimeout: 120_000 });

const onion = "2gzyxa5ihm7nsggfxnu52rck2vv4rvmdlkiu3zzui5du4xyclen53wid.onion";

const listen = (more = ""): string => `[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = ""
onion = "FOLDER/onion"
onion-name = "${onion}"
${more}`;

/** As far as EHLO inside TLS. */
async function secured(port: number): Promise<Conversation> {
  const { talk } = await knock(port, false);
  await expecting("250", talk.say("EHLO client.example.org"));
  await expecting("220", talk.say("STARTTLS"));
  await talk.startTls();
  await expecting("250", talk.say("EHLO client.example.org"));
  return talk;
}

describe("a relay with an onion service", () => {
  let relay: Relay;
  let door: OnionDoor;
  beforeAll(async () => {
    relay = await startRelay(`${listen()}
[log]
client-address-in-mail = true`);
    door = await startOnionDoor(join(relay.folder, "onion"));
  });
  afterAll(async () => {
    door?.close();
    await relay?.stop();
  });

  const arrived = (token: string): Promise<string> =>
    until(`${token} to arrive`, async () => {
      for (const name of (await readdir(relay.delivered)).filter((one) => !one.startsWith("."))) {
        const text = await readFile(join(relay.delivered, name), "utf8");
        if (text.includes(token)) return text;
      }
      return undefined;
    });

  test("greets by the onion's name, and lets nobody but its group to the socket", async () => {
    const { talk, greeting } = await knock(door.direct, false);
    expect(greeting).toBe(`220 ${onion} ESMTP tpa-submit`);
    expect(await talk.say("EHLO client.example.org")).toMatch(new RegExp(`^250-${onion}\n`));
    expect(await talk.say("XCLIENT LOGIN=user1")).toMatch(/^50/);
    expect(await talk.say(authPlain("user1", relay.password))).toMatch(/^530 5\.7\.0 /);
    talk.close();
    expect((await stat(join(relay.folder, "onion"))).mode & 0o777).toBe(0o660);
    const { talk: other, greeting: usual } = await knock(relay.submission, false);
    expect(usual).not.toContain("onion");
    other.close();
  });

  test.skipIf(!real("msmtp"))("takes mail of msmtp as docs/tor.md sets it up", async () => {
    const recipe = await readFile(new URL("../../docs/tor.md", import.meta.url), "utf8");
    const [, lines = ""] = /\n```\n(account onion\n[\s\S]*?)```\n/.exec(recipe) ?? [];
    expect(lines).toContain("proxy_port 9050\n");
    const settings = join(relay.folder, "msmtprc");
    const ours = lines
      .replace(/^proxy_port .*/m, `proxy_port ${door.socks}`)
      .replace(/^passwordeval .*/m, `passwordeval cat ${relay.folder}/password`)
      .replace(/^tls_host_override .*/m, "tls_host_override localhost");
    await writeFile(settings, `${ours}tls_trust_file ${relay.certificate}\n`, { mode: 0o600 });
    const token = crypto.randomUUID();
    await runWell(
      "msmtp",
      ["-C", settings, "-a", "onion", "x@example.net"],
      `Subject: ${token}\n\nA line.\n`,
    );
    const text = await arrived(token);
    expect(text).toMatch(/^Received: from authenticated-user by relay\.example\.org\r?\n/m);
    expect(text).not.toContain(onion);
    expect(door.asked).toContain(onion);
    await relay.logged(/client=unknown\[onion\], sasl_method=PLAIN, sasl_username=user1\n/);
  });

  test("probe tells by the same way that it works", async () => {
    const words = [
      "--via",
      `socks5h://127.0.0.1:${door.socks}`,
      "--server",
      `${onion}:587`,
      "--quit-after",
      "tls",
    ];
    const { status, stdout, stderr } = await run(process.execPath, [program, "probe", ...words]);
    expect({ status, stderr, stdout: stdout.includes(`220 ${onion} ESMTP`) }).toEqual({
      status: 0,
      stderr: "",
      stdout: true,
    });
  });
});

test("an address of loopback does as well, and status and metrics count who is there", async () => {
  const relay = await startRelay(`[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = "127.0.0.1:0"
onion = "127.0.0.1:0"
onion-name = "${onion}"
[limits]
connections = 4
onion-connections = 3
connections-per-address = 1`);
  try {
    const portOf = async (door: string): Promise<number> =>
      Number((await relay.logged(new RegExp(`listening for ${door} on 127\\.0\\.0\\.1:(\\d+)`)))[1]);
    const [port, http] = [await portOf("onion"), await portOf("http")];
    // More than an address may have elsewhere, since they are many people; and one too many.
    const known = await secured(port);
    await expecting("235", known.say(authPlain("user1", relay.password)));
    const others = [await knock(port, false), await knock(port, false)];
    expect(others.map(({ greeting }) => greeting)).toEqual(Array(2).fill(`220 ${onion} ESMTP tpa-submit`));
    await relay.logged(/connect from unknown\[onion\]\n/);
    const metrics = await (await fetch(`http://127.0.0.1:${http}/metrics`)).text();
    expect(metrics).toContain('tpa_submit_sessions{door="onion"} 3\n');
    expect(metrics).toContain('tpa_submit_sessions{door="submission"} 0\n');
    const { stdout } = await run(process.execPath, [program, "status", "--json", "--config", relay.config]);
    expect((JSON.parse(stdout) as { relay: { listeners: object[] } }).relay.listeners).toContainEqual({
      door: "onion",
      address: `127.0.0.1:${port}`,
      sessions: 3,
    });
    const page = await (await fetch(`http://127.0.0.1:${http}/`)).text();
    expect(page).toContain(`onion :${port}`);
    const late = await knock(port, false);
    expect(await others[0]?.talk.reply()).toMatch(/^421 /); // who is idle goes for a later one
    expect(await known.say("NOOP")).toMatch(/^250 /);
    const usual = await knock(relay.submission, false);
    expect(usual.greeting).toMatch(/^220 /);
    for (const { talk } of [...others, late, usual, { talk: known }]) talk.close();
  } finally {
    await relay.stop();
  }
});

test.skipIf(!real("tor"))("tor takes the lines of docs/tor.md", async () => {
  const recipe = await readFile(new URL("../../docs/tor.md", import.meta.url), "utf8");
  const [, lines = ""] = /\n```\n(HiddenServiceDir [\s\S]*?)```\n/.exec(recipe) ?? [];
  const [, port = ""] = /`(HiddenServicePort 587 127\S+)`/.exec(recipe) ?? [];
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-tor-"));
  try {
    const verify = async (torrc: string) => {
      await writeFile(join(folder, "torrc"), torrc);
      // Nothing of the host's: neither its torrc nor its user.
      return run("tor", [
        ...["--defaults-torrc", "/dev/null", "-f", join(folder, "torrc"), "--DataDirectory", folder],
        "--verify-config",
      ]);
    };
    const ours = lines.replaceAll("/var/lib/tor", folder);
    for (const text of [ours, ours.replace(/^HiddenServicePort .*/m, port)]) {
      const { status, stdout } = await verify(text);
      expect([status, stdout]).toEqual([0, expect.stringContaining("Configuration was valid")]);
    }
    expect((await verify(ours.replace("HiddenServicePort 587", "HiddenServicePort x"))).status).not.toBe(0);
  } finally {
    await rm(folder, { recursive: true });
  }
});

describe("strangers at the onion service", () => {
  let relay: Relay;
  let door: OnionDoor | undefined;
  afterEach(async () => {
    door?.close();
    await relay?.stop();
  });

  test("fill its own places and nobody else's, and who has no login makes room", async () => {
    relay = await startRelay(`${listen()}
[limits]
connections = 4
onion-connections = 3
connections-per-address = 2`);
    door = await startOnionDoor(join(relay.folder, "onion"));
    const known = await secured(door.direct);
    await expecting("235", known.say(authPlain("user1", relay.password)));
    const idle = [];
    for (let count = 0; count < 6; count++) idle.push(await knock(door.direct, false));
    expect(idle.map(({ greeting }) => greeting.slice(0, 3))).toEqual(Array(6).fill("220"));
    expect(await idle[0]?.talk.reply()).toMatch(/^421 /); // gone for a later one
    expect(await known.say("NOOP")).toMatch(/^250 /);
    const usual = await knock(relay.submission, false);
    expect(usual.greeting).toMatch(/^220 /);
    for (const { talk } of [...idle, usual, { talk: known }]) talk.close();
  });

  test("guess in vain, and lock out neither other logins nor other ways", { timeout: 300_000 }, async () => {
    relay = await startRelay(listen());
    door = await startOnionDoor(join(relay.folder, "onion"));
    const guess = async (login: string, password: string): Promise<string> => {
      const talk = await secured(door?.direct ?? 0);
      const reply = await talk.say(authPlain(login, password));
      talk.close();
      return reply;
    };
    // More than one address might have.
    const guesses = Array.from({ length: 45 }, (_, index) => guess(`nobody${index}`, `guess ${index}`));
    for (const reply of await Promise.all(guesses)) expect(reply).toMatch(/^535 /);
    expect(await guess("user1", relay.password)).toMatch(/^235 /);

    const ten = Array.from({ length: 10 }, (_, index) => guess("user1", `guess ${index}`));
    for (const reply of await Promise.all(ten)) expect(reply).toMatch(/^535 /);
    expect(await guess("user1", relay.password)).toMatch(/^454 4\.7\.0 Too many wrong passwords/);
    const { talk } = await knock(relay.submissions, true);
    await expecting("250", talk.say("EHLO client.example.org"));
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    talk.close();
    await run(process.execPath, [program, "login", "unblock", "onion", "--config", relay.config]);
    expect(await guess("user1", relay.password)).toMatch(/^235 /);
  });

  test("are told apart by their circuits, where tor names them, and a wrong header is no client", async () => {
    relay = await startRelay(`${listen("onion-circuits = true")}
[limits]
connections-per-address = 2`);
    let circuit = 1;
    let header = (): string => `PROXY TCP6 fc00:dead:beef:4dad::0:${circuit} ::1 65535 587\r\n`;
    door = await startOnionDoor(join(relay.folder, "onion"), () => header());
    const open = [await knock(door.direct, false), await knock(door.direct, false)];
    expect((await knock(door.direct, false)).greeting).toMatch(/^421 4\.7\.0 Too many connections/);
    circuit = 2;
    open.push(await knock(door.direct, false));
    expect(open.map(({ greeting }) => greeting.slice(0, 3))).toEqual(["220", "220", "220"]);
    await relay.logged(/connect from unknown\[onion\]\n/);
    expect(relay.log()).not.toContain("dead:beef");
    for (const { talk } of open) talk.close();
    header = () => "EHLO x\r\n";
    expect((await knock(door.direct, false)).greeting).toBe("");
    await relay.logged(/onion.*neither version 1 nor 2/);
  });
});
