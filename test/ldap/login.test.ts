import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { get } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { connect, type TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { real } from "../tools/real.ts";
import { hashes, passwordOf } from "./cases.ts";
import { type Dovecot, dovecotPrograms, startDovecot } from "./dovecot.ts";
import { people, person, reader, type Slapd, slapdPrograms, startSlapd } from "./slapd.ts";

/** Everybody who may log in, with the hashes they have; and everybody who may not, although the password is right. */
const welcome = {
  user1: ["md5"],
  user2: ["blf"],
  user3: ["sha512"],
  user4: ["sha256"],
  user5: ["ssha"],
  user6: ["argon"],
  user7: ["des"],
  user8: ["md5", "other"],
} as const;

const unwelcome = {
  user11: `mailPassword: ${hashes["md5"]}\naccountStatus: inactive`,
  user12: `mailPassword: ${hashes["md5"]}\naccountStatus: retiring 2020-01-01`,
  user13: "accountStatus: active",
  user14: `mailPassword: !${hashes["md5"]}`,
  user15: `mailPassword:: ${Buffer.from(`${hashes["md5"]}\nroot:${hashes["md5"]}`).toString("base64")}`,
  user16: "mailPassword:: AAAA",
} as const;

const entries = [
  ...Object.entries(welcome).map(([login, names]) =>
    person(login, names.map((name) => `mailPassword: ${hashes[name]}\n`).join("")),
  ),
  ...Object.entries(unwelcome).map(([login, lines]) => person(login, lines)),
  person("user17", `mailPassword: ${hashes["md5"]}`, "locked"),
  person("User18", `mailPassword: ${hashes["md5"]}`),
].join("");

function settings(slapd: Slapd, passwordFile: string, sync = ""): string {
  return `[ldap]
url = "${slapd.ldaps}"
ca = "${slapd.ca}"
base = "${people}"
bind-dn = "${reader.dn}"
bind-password-file = "${passwordFile}"
[sync]
${sync}
`;
}

/** Runs one sync to its end; throws what it said where it failed. */
async function syncOnce(config: string): Promise<void> {
  const child = spawn(process.execPath, [program, "sync", "--config", config], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  let said = "";
  child.stderr.on("data", (chunk: Buffer) => {
    said += chunk.toString();
  });
  const status = await new Promise<number | null>((resolve) => child.once("close", resolve));
  if (status !== 0) throw new Error(said);
}

/** Whether the relay lets `login` in, asked as a mail program does: AUTH PLAIN inside TLS. */
async function relayAccepts(relay: Relay, login: string, password: string): Promise<boolean> {
  const ca = await readFile(relay.certificate, "utf8");
  const socket = connect({ port: relay.submissions, host: "127.0.0.1", servername: "localhost", ca });
  const lines = replyLines(socket);
  const say = async (line: string): Promise<string> => {
    if (line !== "") socket.write(`${line}\r\n`);
    for await (const answer of lines) if (/^\d{3} /.test(answer)) return answer;
    throw new Error(`the relay hung up; its log:\n${relay.log()}`);
  };
  try {
    await say("");
    await say("EHLO client.example.org");
    const answer = await say(`AUTH PLAIN ${Buffer.from(`\0${login}\0${password}`).toString("base64")}`);
    if (!/^(235|535) /.test(answer)) throw new Error(`the relay said ${answer}`);
    return answer.startsWith("235");
  } finally {
    socket.destroy();
  }
}

/** The lines of a connection; the loop may be left and entered again. */
function replyLines(socket: TLSSocket): AsyncIterable<string> {
  let buffer = "";
  const chunks = socket.iterator({ destroyOnReturn: false });
  const next = async (): Promise<IteratorResult<string>> => {
    while (!buffer.includes("\n")) {
      const { value, done } = await chunks.next();
      if (done) return { value: undefined, done: true };
      buffer += String(value);
    }
    const [line = ""] = buffer.split("\n", 1);
    buffer = buffer.slice(line.length + 1);
    return { value: line, done: false };
  };
  return { [Symbol.asyncIterator]: () => ({ next }) };
}

describe.skipIf(!real(...slapdPrograms, ...dovecotPrograms))("the file that sync makes", () => {
  let folder: string;
  let slapd: Slapd;
  let relay: Relay;
  let dovecot: Dovecot;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "login-"));
    await chmod(folder, 0o755);
    await writeFile(join(folder, "password"), reader.password);
    slapd = await startSlapd({ entries });
    relay = await startRelay(settings(slapd, join(folder, "password")));
    await syncOnce(relay.config);
    const config = join(folder, "dovecot.toml");
    await writeFile(
      config,
      `hostname = "mail.example.org"
domain = "example.org"
[passwords]
file = "${folder}/mail-passwords"
${settings(slapd, join(folder, "password"), 'format = "dovecot"\nmode = "0644"')}`,
    );
    await syncOnce(config);
    dovecot = await startDovecot(join(folder, "mail-passwords"));
  });
  afterAll(async () => {
    await dovecot?.remove();
    await relay?.stop();
    await slapd?.remove();
    await rm(folder, { recursive: true });
  });

  type Door = (login: string, password: string) => Promise<boolean>;
  const serve: Door = (login, password) => relayAccepts(relay, login, password);
  const atDovecot: Door = (login, password) => dovecot.accepts(login, password);
  const strangers = [...Object.keys(unwelcome), "user17", "User18", "user18", "root"];

  /** Who of `tries` gets in, all at once: a wrong password takes its second at either door. */
  async function admitted(door: Door, tries: readonly (readonly [string, string])[]): Promise<string[]> {
    const answers = await Promise.all(tries.map(([login, password]) => door(login, password)));
    return tries.filter((_, index) => answers[index]).map((one) => one.join(" "));
  }

  test.each([
    ["serve", serve, (names: readonly string[]) => names],
    ["Dovecot", atDovecot, (names: readonly string[]) => names.slice(-1)],
  ] as const)(
    "lets everybody in at %s with each password it stands for, and with no other",
    async (_, door, good) => {
      const right = Object.entries(welcome).flatMap(([login, names]) =>
        good(names).map((name) => [login, passwordOf(name)] as const),
      );
      const wrong = Object.keys(welcome).map((login) => [login, "wrong horse"] as const);
      expect(await admitted(door, right)).toEqual(right.map((one) => one.join(" ")));
      expect(await admitted(door, wrong)).toEqual([]);
    },
  );

  test.each([
    ["serve", serve],
    ["Dovecot", atDovecot],
  ] as const)("lets nobody in at %s who is left out", async (_, door) => {
    expect(
      await admitted(
        door,
        strangers.map((login) => [login, "correct horse"] as const),
      ),
    ).toEqual([]);
  });

  test("gives Dovecot nothing to complain about, and changes within the same second are seen", async () => {
    const dn = `uid=user1,${people}`;
    for (const name of ["other", "md5", "other"] as const) {
      await slapd.modify(
        `dn: ${dn}\nchangetype: modify\nreplace: mailPassword\nmailPassword: ${hashes[name]}\n`,
      );
      await syncOnce(join(folder, "dovecot.toml"));
      // Dovecot looks at the file once a second at most, and then at its time and size alone.
      while (!(await dovecot.accepts("user1", passwordOf(name)))) await pause(200);
      expect(await dovecot.accepts("user1", passwordOf(name === "md5" ? "other" : "md5"))).toBe(false);
    }
    expect(dovecot.log()).not.toMatch(/Error/);
  });
});

describe.skipIf(!real(...slapdPrograms))("sync --watch beside a running serve", () => {
  let folder: string;
  let slapd: Slapd;
  let relay: Relay;
  let watching: ChildProcess;
  let said = "";

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "watch-"));
    await writeFile(join(folder, "password"), reader.password);
    slapd = await startSlapd({ entries });
    const metrics = `metrics-file = "${folder}/sync.prom"\nhttp = "127.0.0.1:0"`;
    relay = await startRelay(settings(slapd, join(folder, "password"), metrics));
    watching = spawn(process.execPath, [program, "sync", "--watch", "--config", relay.config], {
      stdio: ["ignore", "ignore", "pipe"],
    });
    watching.stderr?.on("data", (chunk: Buffer) => {
      said += chunk.toString();
    });
    await heard(/replaced: 8 logins/);
  });
  afterAll(async () => {
    watching?.kill("SIGKILL");
    await relay?.stop();
    await slapd?.remove();
    await rm(folder, { recursive: true });
  });

  async function heard(pattern: RegExp): Promise<RegExpMatchArray> {
    for (;;) {
      const found = pattern.exec(said);
      if (found) return found;
      if (watching.exitCode !== null) throw new Error(`sync --watch ended: ${said}`);
      await pause(20);
    }
  }

  const change = (name: string): Promise<void> =>
    slapd.modify(
      `dn: uid=user1,${people}\nchangetype: modify\nreplace: mailPassword\nmailPassword: ${hashes[name]}\n`,
    );

  async function metric(name: string): Promise<number> {
    const port = /metrics on http:\/\/127\.0\.0\.1:(\d+)\//.exec(said)?.[1];
    const text = await (await fetch(`http://127.0.0.1:${port}/metrics`)).text();
    return Number(new RegExp(`^tpa_submit_sync_${name} (\\S+)$`, "m").exec(text)?.[1]);
  }

  test("its metrics are not for a page of the web that lets its own name lead here", async () => {
    const port = /metrics on http:\/\/127\.0\.0\.1:(\d+)\//.exec(said)?.[1];
    const asked = async (host: string): Promise<number | undefined> => {
      const [answer] = await once(
        get({ host: "127.0.0.1", port, path: "/metrics", headers: { host } }),
        "response",
      );
      answer.resume();
      return answer.statusCode;
    };
    expect(await asked("attacker.example.net")).toBe(421);
    expect(await asked(`localhost:${port}`)).toBe(200);
    expect(await asked("relay.example.org")).toBe(200);
  });

  test("a password that is changed in the directory opens the door within five seconds, and the old one no longer does", async () => {
    expect(await relayAccepts(relay, "user1", passwordOf("md5"))).toBe(true);
    await change("other");
    const changed = performance.now();
    const file = join(relay.folder, "mail-passwords");
    while (!(await readFile(file, "utf8")).includes(`user1:${hashes["other"]}`)) await pause(20);
    expect(await relayAccepts(relay, "user1", passwordOf("other"))).toBe(true); // at the first try
    expect(performance.now() - changed).toBeLessThan(5000);
    expect(await relayAccepts(relay, "user1", passwordOf("md5"))).toBe(false);
  });

  test("an outage of the directory is told and not noticed at the door; what changed meanwhile comes after it", async () => {
    await slapd.kill();
    try {
      await heard(/connection refused while connecting/);
      expect(await metric("last_run_success")).toBe(0);
      expect(await relayAccepts(relay, "user1", passwordOf("other"))).toBe(true);
    } finally {
      await slapd.start();
    }
    await change("md5");
    while (!(await relayAccepts(relay, "user1", passwordOf("md5")))) await pause(100);
    while ((await metric("last_run_success")) !== 1) await pause(50);
  });

  test("a directory in which nothing changes is asked one base search at a time", async () => {
    const searches = (): string[] =>
      [...slapd.log().matchAll(/SRCH base="([^"]*)" scope=(\d)/g)].map(([all]) => all);
    const before = searches().length;
    while (searches().length < before + 3) await pause(50);
    expect(new Set(searches().slice(before))).toEqual(new Set(['SRCH base="dc=example,dc=org" scope=0']));
    const attributes = [...slapd.log().matchAll(/SRCH attr=(.*)/g)].map(([, names]) => names);
    expect(attributes.slice(-3)).toEqual(["contextCSN", "contextCSN", "contextCSN"]);
  });

  test("SIGHUP brings a whole search at once", async () => {
    const file = join(relay.folder, "mail-passwords");
    await writeFile(file, (await readFile(file, "utf8")).replace(/^user2:.*\n/m, "")); // as nobody should
    watching.kill("SIGHUP");
    while (!(await readFile(file, "utf8")).includes("user2:")) await pause(20);
  });

  test("tells figures in a file and over HTTP", async () => {
    const text = await readFile(join(folder, "sync.prom"), "utf8");
    expect(text).toMatch(/^tpa_submit_sync_users\{scheme="MD5-CRYPT"\} \d+$/m);
    expect(text).toMatch(/^tpa_submit_sync_excluded\{reason="retired"\} 2$/m);
    expect(await metric("entries")).toBe(16);
    expect(await metric("last_change_timestamp_seconds")).toBeGreaterThan(Date.now() / 1000 - 120);
  });

  test("ends on SIGTERM", async () => {
    const ended = new Promise((resolve) => watching.once("close", resolve));
    watching.kill("SIGTERM");
    expect(await ended).toBe(0);
    expect(said).not.toMatch(/at .*\.js:/);
  });
});
