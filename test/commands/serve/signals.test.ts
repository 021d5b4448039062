/** SIGTERM ends the relay without cutting anybody off; SIGHUP changes what can be changed and breaks nothing. */
import { readdir, readFile, stat, utimes, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { connect as connectTls } from "node:tls";
import bcrypt from "bcryptjs";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkoutProgram } from "../../../demo/program.mjs";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { selfSigned } from "../../tools/certificate.ts";
import { until } from "../../tools/until.ts";
import { authPlain, enter, expecting, greet, knock, note, submit, submitAlone } from "./conversation.ts";

let relay: Relay;
beforeEach(async () => {
  relay = await startRelay();
});
afterEach(() => relay.stop());

const mail = "MAIL FROM:<user1@example.org>";
const recipient = "RCPT TO:<x@example.net>";

describe("SIGTERM", () => {
  test("lets a slow message end with its 250, sends idle clients away, lets nobody in, and ends with status 0", async () => {
    const slow = await enter(relay);
    const idle = await enter(relay, "submissions");
    const stranger = await knock(relay.submission, false);
    await slow.say(mail);
    await slow.say(recipient);
    await expecting("354", slow.say("DATA"));
    const message = note("slow", "one line\r\nand another");
    await slow.send(message.slice(0, 60));

    relay.signal("SIGTERM");
    expect(await idle.reply()).toMatch(/^421 4\.3\.2 /);
    expect(await idle.reply()).toBe(""); // and hangs up
    expect(await stranger.talk.reply()).toMatch(/^421 4\.3\.2 /);
    await expect(knock(relay.submission, false)).rejects.toThrow("ECONNREFUSED");
    await expect(knock(relay.submissions, true)).rejects.toThrow("ECONNREFUSED");

    await slow.send(message.slice(60));
    const id = /queued as (\w+)$/.exec(await expecting("250", slow.say(".")))?.[1];
    expect(await slow.reply()).toMatch(/^421 4\.3\.2 /);
    expect(await relay.ended).toEqual({ status: 0, signal: null });
    expect(relay.log()).toMatch(/stopped, \d+ messages stay in the spool/);

    await relay.start(); // it may have gone out already
    await until("the slow message", async () =>
      (await readdir(relay.delivered)).includes(`${id}.json`) ? true : undefined,
    );
    expect(await readFile(join(relay.delivered, `${id}.eml`), "utf8")).toContain(message);
  });

  test("leaves what could not be delivered for the next start", async () => {
    await relay.configure('[delivery]\nrelay = "smtp://127.0.0.1:9"');
    relay.signal("SIGHUP");
    await relay.logged(/passwords re-read/);
    const id = await submitAlone(relay, note("waiting"));
    await relay.logged(new RegExp(`${id}: to=.* status=deferred`));
    relay.signal("SIGTERM");
    expect(await relay.ended).toEqual({ status: 0, signal: null });
    expect(relay.log()).toMatch(/stopped, 1 messages stay in the spool/);
    expect(await readdir(join(relay.folder, "spool/queue"))).toContain(id);
  });

  test("given twice ends at once, with status 75 and nothing promised", async () => {
    const slow = await enter(relay);
    await slow.say(mail);
    await slow.say(recipient);
    await slow.say("DATA");
    relay.signal("SIGTERM");
    await relay.logged(/stopping: /);
    relay.signal("SIGTERM");
    expect(await relay.ended).toEqual({ status: 75, signal: null });
    expect(await slow.reply()).toBe("");
    expect(await readdir(join(relay.folder, "spool/queue"))).toEqual([]);
  });
});

describe("SIGHUP", () => {
  /** Sends the signal; resolves to what the log said until all was re-read. */
  async function reload(): Promise<string> {
    const from = relay.log().length;
    relay.signal("SIGHUP");
    // The last that is said: the password file comes after configuration and certificate.
    await relay.logged(/mail-passwords: /, from);
    return relay.log().slice(from);
  }

  async function installCertificate(names: readonly string[]): Promise<void> {
    const renewed = selfSigned(names);
    await writeFile(relay.certificate, renewed.cert);
    await writeFile(join(relay.folder, "key.pem"), renewed.key);
  }

  /** Common name of the certificate that a client meets now. */
  function shownBy(port: number, servername = "localhost"): Promise<string> {
    return new Promise((resolve, reject) => {
      const options = { port, host: "127.0.0.1", servername, rejectUnauthorized: false };
      const socket = connectTls(options, () => {
        resolve(String(socket.getPeerCertificate().subject.CN));
        socket.destroy();
      });
      socket.on("error", reject);
    });
  }

  test("shows the renewed certificate to new clients, and the old ones go on", async () => {
    const before = await enter(relay);
    await installCertificate(["renewed.example.org"]);
    expect(await reload()).toContain("certificate for renewed.example.org");
    expect(await shownBy(relay.submissions)).toBe("renewed.example.org");
    await relay.logged(new RegExp(`${await submit(before, note("old session"))}: removed`));
    before.close();
  });

  test("shows certificates for further names, each to who asks for it, and renews them", async () => {
    const further = async (name: string): Promise<void> => {
      const { cert, key } = selfSigned([name, "mail.example.com"]);
      await writeFile(join(relay.folder, "more.pem"), cert);
      await writeFile(join(relay.folder, "more.key"), key);
    };
    await further("first.example.com");
    await relay.configure(
      '[tls]\ncertificate = "FOLDER/certificate.pem"\nkey = "FOLDER/key.pem"\nmore = ["FOLDER/more.pem FOLDER/more.key"]',
    );
    await reload();
    expect(await shownBy(relay.submissions, "mail.example.com")).toBe("first.example.com");
    expect(await shownBy(relay.submissions)).toBe("localhost");
    await further("second.example.com");
    const said = await reload();
    expect(said).toContain("more.pem: certificate for second.example.com, mail.example.com");
    expect(said).toContain("more.pem: certificate for second.example.com, mail.example.com ends in 1 days");
    expect(await shownBy(relay.submissions, "mail.example.com")).toBe("second.example.com");
    await writeFile(join(relay.folder, "more.key"), selfSigned().key);
    expect(await reload()).toMatch(/more\.key: is not the private key .*; the old certificate stays in use/);
    expect(await shownBy(relay.submissions, "mail.example.com")).toBe("second.example.com");
  });

  test.each([
    [
      "that is none",
      async () => writeFile(relay.certificate, "hello\n"),
      /expected a certificate in PEM form/,
    ],
    [
      "whose key is another's",
      async () => writeFile(join(relay.folder, "key.pem"), selfSigned().key),
      /is not the private key/,
    ],
  ])("keeps the old certificate in place of one %s", async (_, spoil, complaint) => {
    await spoil();
    const said = await reload();
    expect(said).toMatch(complaint);
    expect(said).toContain("the old certificate stays in use");
    expect(await shownBy(relay.submissions)).toBe("localhost");
    await submitAlone(relay, note("still served"));
  });

  test("sends mail another way when the configuration says so", async () => {
    await relay.configure('[delivery]\nrelay = "file:FOLDER/elsewhere"');
    await reload();
    const id = await submitAlone(relay, note("elsewhere"));
    await relay.logged(new RegExp(`${id}: removed`));
    expect(await readdir(join(relay.folder, "elsewhere"))).toContain(`${id}.eml`);
  });

  test("changes limits, the policy of senders and the words about a wrong password", async () => {
    const words = "Not the password of your desk";
    await relay.configure(
      `[limits]\nmessage-size = "1M"\n[senders]\npolicy = "domain"\n[passwords]\nfile = "FOLDER/mail-passwords"\nwrong-text = "${words}"`,
    );
    expect(await reload()).not.toContain("only after a restart");
    const stranger = await greet(relay);
    expect(await stranger.say(authPlain(relay.login, "wrong"))).toBe(`535 5.7.8 ${words}`);
    stranger.close();
    const talk = await enter(relay);
    expect(await talk.say("EHLO client.example.org")).toContain("SIZE 1048576");
    expect(await talk.say("MAIL FROM:<anybody@example.org>")).toMatch(/^250 /);
    talk.close();
  });

  test("warns of what takes a restart", async () => {
    const text = await readFile(relay.config, "utf8");
    await writeFile(relay.config, text.replace("relay.example.org", "other.example.org"));
    expect(await reload()).toMatch(/changed, but in use only after a restart: hostname/);
    expect((await knock(relay.submission, false)).greeting).toContain("relay.example.org");
  });

  test("keeps the old configuration in place of a broken one, and says what is wrong with it", async () => {
    await relay.configure('[limits]\nmessage-size = "huge"');
    const said = await reload();
    expect(said).toMatch(
      /configuration not re-read, the old one stays in use: .*tpa-submit\.toml:\d+: limits\.message-size/,
    );
    await relay.logged(new RegExp(`${await submitAlone(relay, note("still served"))}: removed`));
  });

  test("that comes before the program is loaded is no end of it", async () => {
    relay.signal("SIGTERM");
    await relay.ended;
    // The first thing that the launcher of a checkout does is to look whether the program has been built.
    const early = `import fs, { existsSync } from "node:fs"; import { syncBuiltinESMExports } from "node:module";
const look = existsSync;
fs.existsSync = (path) => (String(path).includes("/dist/main.js") && process.kill(process.pid, "SIGHUP"), look(path));
syncBuiltinESMExports();`;
    const { program } = relay;
    relay.program = checkoutProgram;
    process.env["NODE_OPTIONS"] = `--import=data:text/javascript,${encodeURIComponent(early)}`;
    try {
      await relay.start();
    } finally {
      delete process.env["NODE_OPTIONS"];
      relay.program = program;
    }
    await submitAlone(relay, note("alive"));
  });

  test("that comes while the relay starts is no end of it", async () => {
    relay.signal("SIGTERM");
    await relay.ended;
    const starting = relay.start();
    await relay.logged(/mail-passwords: /); // it has read its files, but is not done starting
    relay.signal("SIGHUP");
    await starting;
    await submitAlone(relay, note("alive"));
  });
});

describe("the password file", () => {
  const login = async (password: string): Promise<string> => {
    const talk = await greet(relay);
    const said = await talk.say(authPlain("user1", password));
    talk.close();
    return said;
  };

  test("replaced within the second, by one of the same size: the old password ends, the new one works", async () => {
    const file = join(relay.folder, "mail-passwords");
    const hash = await bcrypt.hash("the new one", 10);
    expect(await login(relay.password)).toMatch(/^235 /);
    const before = await stat(file);
    await writeFile(file, `user1:${hash}\n`);
    await utimes(file, before.atime, before.mtime);
    expect((await stat(file)).size).toBe(before.size);
    expect(await login(relay.password)).toMatch(/^535 /);
    expect(await login("the new one")).toMatch(/^235 /);
  });

  test("that becomes empty or broken lets in whom the last good one let in", async () => {
    const file = join(relay.folder, "mail-passwords");
    for (const broken of ["", "no line\n", "\0\0\0"]) {
      await writeFile(file, broken);
      expect(await login(relay.password), JSON.stringify(broken)).toMatch(/^235 /);
    }
    const refused = relay.log().match(/^.*stays in use.*$/gm) ?? [];
    expect(refused.length).toBeGreaterThan(0);
    for (const line of refused) {
      expect(line).toMatch(
        /master\[\d+\]: error: password file \S+: .*; the last good one, with \d+ logins, stays in use$/,
      );
    }
  });
});
