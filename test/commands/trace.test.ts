/** `trace` as an operator types it, beside a relay at work and without one. */
import { readFileSync } from "node:fs";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createSecureContext } from "node:tls";
import { gzipSync } from "node:zlib";
import { afterEach, describe, expect, test, vi } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { traceCommand } from "../../src/commands/trace.ts";
import { selfSigned } from "../tools/certificate.ts";
import { type Ended, run } from "../tools/child.mjs";
import { type FakeServer, fakeServer } from "../tools/fakeserver.ts";
import { real } from "../tools/real.ts";
import { typeTo } from "../tools/terminal.ts";
import { well } from "./queue/operator.ts";
import { authPlain, expecting, greet, note, submit } from "./serve/conversation.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

const trace = (...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, "trace", ...words]);

test("tpa-submit-trace(8) has every option and no other", () => {
  const page = readFileSync(new URL("../../man/tpa-submit-trace.8", import.meta.url), "utf8");
  const written = [...page.matchAll(/^\.It Fl (.*)$/gm)].map(([, rest = ""]) =>
    rest
      .split(" , ")
      .map((flag) => `-${flag.split(" ")[0]}`)
      .join(", "),
  );
  const declared = Object.values(traceCommand.options).map(({ flags }) =>
    flags
      .split(", ")
      .map((one) => one.split(" ")[0])
      .join(", "),
  );
  expect(written.sort()).toEqual(declared.sort());
});

describe("beside a relay", () => {
  let relay: Relay;
  let hop: FakeServer | undefined;
  afterEach(async () => {
    await relay.stop();
    await hop?.close();
    hop = undefined;
  });
  const traced = (...words: readonly string[]) => trace("--config", relay.config, ...words);

  /** What is said of the words, as soon as the history has it. */
  const told = (pattern: RegExp, ...words: readonly string[]) =>
    expect.poll(async () => (await traced(...words)).stdout, { timeout: 20_000 }).toMatch(pattern);

  test("a message that was handed over is found by each of its names, and nothing by others", async () => {
    relay = await startRelay();
    const talk = await greet(relay);
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    const id = await submit(talk, note("traced"));
    await relay.logged(new RegExp(`${id}: removed`));
    talk.close();
    const story = new RegExp(
      `^${id}  from user1@example\\.org \\(login user1\\), \\d+, 1 recipient\\n` +
        "  Message-ID: <\\S+>\\n" +
        "  \\S+ \\S+  accepted from unknown\\[127\\.0\\.0\\.1\\] by submissions?, logged in as user1 \\(PLAIN\\)\\n" +
        "  +\\S+( \\S+)?  \\S+@\\S+: handed over [\\s\\S]*" +
        "=> \\S+@\\S+: .* has taken it at [\\s\\S]*",
    );
    await told(story, id);
    const byId = await traced(id);
    const [, messageId = ""] = /Message-ID: (<.*>)/.exec(byId.stdout) ?? [];
    const [, recipient = ""] = /=> (\S+@\S+):/.exec(byId.stdout) ?? [];
    for (const words of [
      [id.toLowerCase()],
      [messageId],
      ["USER1", recipient],
      [recipient.toUpperCase(), "user1@example.org"],
      [recipient.split("@")[1] ?? "", "--since", "1h"],
    ]) {
      const found = await traced(...words);
      expect(found.stdout).toContain(`${id}  from user1@example.org`);
      expect(found.status).toBe(0);
    }
    for (const words of [[id, "nobody"], ["ser1"], [id, "--until", "2020-01-01"]]) {
      const missed = await traced(...words);
      expect(missed.stderr).toMatch(/^nothing is known of .*; the history begins at \d{4}-/);
      expect(missed.status).toBe(66);
    }
    const [line = ""] = (await traced("--json", id)).stdout.split("\n");
    expect(JSON.parse(line)).toMatchObject({ id, accepted: { login: "user1" } });
  });

  test("how the session with the next hop was secured stands in the story, and not in the mail log", async () => {
    const tls = createSecureContext(selfSigned(["localhost"]));
    hop = await fakeServer({ EHLO: "250-fake\n250 STARTTLS" }, { tls });
    relay = await startRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
    const talk = await greet(relay);
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    const id = await submit(talk, note("secured"));
    const [sent] = await relay.logged(new RegExp(`${id}: to=.*status=sent.*`));
    talk.close();
    await told(/handed over to 127\.0\.0\.1\S* after \S+ s, untrusted TLSv1\.3: 250 /, id);
    expect(sent).not.toContain("TLS");
  });

  test("a refusal in known words is told in plain ones, by queue show as well", async () => {
    hop = await fakeServer({ RCPT: "450 4.2.0 Greylisted, come back" });
    relay = await startRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
    const talk = await greet(relay);
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    const id = await submit(talk, note("greylisted"));
    await relay.logged(new RegExp(`${id}: to=.*status=deferred`));
    talk.close();
    await told(
      /Greylisted, come back .*\n {23}= Greylisting: they take it in some minutes; waiting helps\n/,
      id,
    );
    const shown = await well(relay, "show", id);
    expect(shown).toMatch(
      /Greylisted, come back\n {4}= Greylisting: they take it in some minutes; waiting helps\n/,
    );
    const [line = ""] = (await traced("--json", id)).stdout.split("\n");
    const { recipients } = JSON.parse(line) as { recipients: Readonly<Record<string, readonly object[]>> };
    const known = {
      class: "greylisting",
      meaning: "Greylisting: they take it in some minutes",
      waiting: "yes",
      sender: "Some servers take mail from somebody they do not know only at a later try.",
    };
    expect(Object.values(recipients)[0]?.[0]).toMatchObject({ known });
    expect(JSON.parse(await well(relay, "show", "--json", id))).toMatchObject({ recipients: [{ known }] });
  });

  test("one that waits says why, when it is tried next, and that nobody need send it again", async () => {
    hop = await fakeServer({ RCPT: "450 4.2.1 The mailbox is busy" });
    relay = await startRelay(`[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
    const talk = await greet(relay);
    await expecting("235", talk.say(authPlain("user1", relay.password)));
    const id = await submit(talk, note("late"));
    await relay.logged(new RegExp(`${id}: to=.*status=deferred`));
    talk.close();
    const waits =
      /put off by .*: 450 4\.2\.1 The mailbox is busy[\s\S]*=> \S+: it waits, and is tried again at/;
    await told(waits, id);
    relay.signal("SIGTERM");
    await relay.ended;
    expect((await traced(id)).stdout).toMatch(waits);
    await rm(join(relay.folder, "spool", "events"), { recursive: true });
    expect((await traced("user1")).stdout).toMatch(waits); // the queue knows as much
  });

  test("what happened to a login stands behind the messages", async () => {
    relay = await startRelay();
    const talk = await greet(relay);
    await expecting("535", talk.say(authPlain("user1", "wrong")));
    talk.close();
    await told(
      /^Logins and refusals\n {2}\S+ \S+ {2}user1 was not let in from unknown\[127\.0\.0\.1\] \(PLAIN\)/,
      "user1",
    );
  });
});

describe("in a mail log", () => {
  let folder: string;
  afterEach(() => rm(folder, { recursive: true }));

  const postfix = [
    "postfix/smtpd[81]: 4TrQ2k1BzYz9rx: client=laptop[192.0.2.7], sasl_method=PLAIN, sasl_username=anna",
    "postfix/cleanup[82]: 4TrQ2k1BzYz9rx: message-id=<1@laptop.example.org>",
    "postfix/qmgr[80]: 4TrQ2k1BzYz9rx: from=<anna@example.org>, size=531, nrcpt=2 (queue active)",
    "postfix/smtp[83]: 4TrQ2k1BzYz9rx: to=<b@example.net>, relay=mx.example.net[192.0.2.1]:25, delay=0.5, delays=0.1/0.1/0.1/0.2, dsn=2.0.0, status=sent (250 2.0.0 Ok: queued as 5F)",
    "postfix/smtp[83]: 4TrQ2k1BzYz9rx: to=<c@example.com>, relay=none, delay=30, delays=0.1/0/30/0, dsn=4.4.1, status=deferred (connect to mx.example.com[192.0.2.2]:25: Connection timed out)",
    "postfix/qmgr[80]: 4TrQ2k1BzYz9rx: from=<anna@example.org>, size=531, nrcpt=2 (queue active)",
    "postfix/smtp[83]: 4TrQ2k1BzYz9rx: to=<c@example.com>, relay=mx.example.com[192.0.2.2]:25, delay=400, delays=399/0/0.5/0.5, dsn=5.1.1, status=bounced (host mx.example.com[192.0.2.2] said: 550 5.1.1 <c@example.com>: No such user (in reply to RCPT TO command))",
    "postfix/bounce[84]: 4TrQ2k1BzYz9rx: sender non-delivery notification: 4TrQ9m0000z9sA",
    "postfix/qmgr[80]: 4TrQ2k1BzYz9rx: removed",
    "postfix/submission/smtpd[85]: warning: unknown[192.0.2.9]: SASL LOGIN authentication failed: UGFzc3dvcmQ6, sasl_username=anna",
    "postfix/submission/smtpd[85]: NOQUEUE: reject: RCPT from laptop[192.0.2.7]: 554 5.7.1 <x@example.com>: Relay access denied; from=<anna@example.org> to=<x@example.com> proto=ESMTP helo=<laptop>",
  ];
  const stamps = {
    traditional: (index: number) => `Nov  2 03:04:${String(index).padStart(2, "0")} mail`,
    "RFC 3339": (index: number) => `2026-11-02T03:04:${String(index).padStart(2, "0")}.123456+00:00 mail`,
    "two headers": (index: number) =>
      `Nov  2 03:04:00 vm tpa-submit[409]: Nov  2 03:04:${String(index).padStart(2, "0")} relay.example.org`,
  };

  test.each(Object.entries(stamps))("of Postfix, with stamps: %s", async (_, stamp) => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-trace-"));
    const text = postfix.map((line, index) => `${stamp(index)} ${line}\n`);
    const [plain, packed] = [join(folder, "mail.log"), join(folder, "mail.log.1.gz")];
    await writeFile(packed, gzipSync(text.slice(0, 5).join("")));
    await writeFile(plain, text.slice(5).join(""));
    const found = await trace("--config", join(folder, "none"), "--log", packed, "--log", plain, "anna");
    expect(found.stderr).toBe("");
    expect(
      found.stdout.replaceAll(/\d{4}-\d\d-\d\d /g, "DAY ").replaceAll(/\d\d:\d\d:(\d\d)/g, "TIME:$1"),
    ).toBe(
      [
        "4TrQ2k1BzYz9rx  from anna@example.org (login anna), 531, 2 recipients",
        "  Message-ID: <1@laptop.example.org>",
        "  DAY TIME:02  accepted from laptop[192.0.2.7], logged in as anna (PLAIN)",
        "             TIME:03  b@example.net: handed over to mx.example.net[192.0.2.1] after 0.5 s: 250 2.0.0 Ok: queued as 5F",
        "             TIME:04  c@example.com: put off: 451 4.4.1 connect to mx.example.com[192.0.2.2]:25: Connection timed out",
        "             TIME:06  c@example.com: refused by mx.example.com[192.0.2.2]: 550 5.1.1 <c@example.com>: No such user (after RCPT TO)",
        "                       = No such user; waiting does not help",
        "             TIME:07  the sender was told that it failed, by message 4TrQ9m0000z9sA",
        "             TIME:08  left the queue",
        '  => b@example.net: mx.example.net has taken it at DAY TIME:03, with the words "250 2.0.0 Ok: queued as 5F". From then on it is theirs: look in the spam folder; their postmaster finds it by these words.',
        "  => c@example.com: it was refused for good, and is not tried again; the sender got a report that says so. There is no such mailbox. Check the address for typing mistakes.",
        "",
        "Logins and refusals",
        "  DAY TIME:09  anna was not let in from unknown[192.0.2.9] (LOGIN): UGFzc3dvcmQ6",
        "",
      ].join("\n"),
    );
  });

  test.skipIf(!real("script"))("is told in lines that fit the terminal", async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-trace-"));
    const log = join(folder, "mail.log");
    await writeFile(log, postfix.map((one) => `2026-11-02T03:04:00.123456+00:00 mail ${one}\n`).join(""));
    const words = `'${program}' trace --config none --log '${log}' anna`;
    const { shown } = await typeTo(`stty cols 80; ${words}`, [], { NO_COLOR: "1" });
    expect(shown).toMatch(/c@example\.com: refused by[^\n]*\n {23}\S/);
    expect(shown).toMatch(/=> b@example\.net: mx[^\n]*\n {5}\S/);
    expect(Math.max(...shown.split("\n").map(({ length }) => length))).toBeLessThanOrEqual(80);
  });

  const line = (index: number) =>
    `2026-11-02T03:04:05.123456+00:00 mail postfix/qmgr[80]: 4TrQ2k1Bz${String(index).padStart(5, "0")}: from=<anna@example.org>, size=531, nrcpt=1 (queue active)\n`;

  test("lines without an end, and what unpacks to a thousand times its size, cost neither memory nor hours", async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-trace-"));
    const [endless, bomb, none] = ["mail.log.1.gz", "bomb.gz", "none"].map((name) => join(folder, name));
    const packed = gzipSync(Buffer.alloc(200 * 2 ** 20, "x"));
    await writeFile(endless ?? "", Buffer.concat([gzipSync(line(1)), packed, gzipSync(`\n${line(2)}`)]));
    const small = ["--max-old-space-size=64", program, "trace", "--json", "--config", none ?? ""];
    const traced = (log = "") => run(process.execPath, [...small, "--log", log, "anna@example.org"]);
    const found = await traced(endless);
    expect(found.stderr).toBe("");
    expect(found.stdout.match(/"id":"\w+"/g)).toEqual(
      expect.arrayContaining(['"id":"4TrQ2k1Bz00001"', '"id":"4TrQ2k1Bz00002"']),
    );
    await writeFile(bomb ?? "", Buffer.concat(Array.from({ length: 6 }, () => packed)));
    const refused = await traced(bomb);
    expect(refused.stderr).toMatch(
      /bomb\.gz: it unpacks to more than 300 times its size, which no mail log does/,
    );
    expect(refused.status).toBe(65);
  });

  test("of somebody else, whose JSON is not ours, is read as far as it makes sense", async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-trace-"));
    const log = join(folder, "mail.log");
    const at = (fields: object) => JSON.stringify({ time: "2026-11-02T03:04:05Z", ...fields });
    const sound = {
      ...{ event: "delivery", id: "1A2279AA3050", to: "anna@example.net", relay: "mx[192.0.2.1]:25" },
      ...{ delays: [0, 0, 0, 1], reply: { code: 250, status: "2.0.0", text: "ok" }, command: "end of DATA" },
    };
    const lines = [
      ...Object.keys(sound).map((name) => at({ ...sound, [name]: { anna: [1] } })),
      ...Object.keys(sound).map((name) => at({ ...sound, [name]: undefined })),
      at({ event: "toString", id: "anna" }),
      at({ event: "reject", client: "anna", reply: null }),
      `{"time":"2026-11-02T03:04:05Z","event":${"[".repeat(60_000)}`,
      at(sound),
    ];
    await writeFile(log, lines.map((one) => `${one}\n`).join(""));
    const found = await trace("--config", join(folder, "none"), "--log", log, "anna@example.net");
    expect(found.stderr).toBe("");
    expect(found.stdout.match(/handed over to mx\[192\.0\.2\.1\]/g)).toHaveLength(1);
  });

  test("that is not there is named", async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-trace-"));
    const found = await trace("--config", join(folder, "none"), "--log", join(folder, "mail.log"), "anna");
    expect(found.stderr).toMatch(/^tpa-submit trace: \S*mail\.log: ENOENT: no such file/);
    expect(found.status).toBe(66);
  });
});
