/** The status page: of a relay at work, and what Chromium makes of it on a phone and on a screen, light and dark. */
import { execFile } from "node:child_process";
import { createHash } from "node:crypto";
import { chmod, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { inflateSync } from "node:zlib";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import type { StatusFacts } from "../../../src/commands/status/facts.ts";
import { findings } from "../../../src/commands/status/judge.ts";
import { statusPage, withoutNames } from "../../../src/commands/status/page.ts";
import { startHttp } from "../../../src/server/log/http.ts";
import { pathOf, real } from "../../tools/real.ts";
import { authPlain, expecting, greet, note, submit } from "../serve/conversation.ts";

vi.setConfig({ testTimeout: 120_000 });

const now = Date.UTC(2026, 10, 29, 12);
const hour = 3_600_000;
const long = "a-name-of-sixty-letters-without-a-place-where-it-could-be-cut";

/** A bad day, with names as long as they get. */
const facts: StatusFacts = {
  at: now,
  hostname: `submission.${long}.example.org`,
  relay: {
    version: "0.1.0",
    pid: 1,
    started: now - 72 * hour,
    sessions: 14,
    listeners: [{ door: "submissions", address: "192.0.2.1:465", sessions: 14 }],
    trouble: `the spool cannot be written: ${"x".repeat(200)}`,
    certificateUntil: now + 48 * hour,
    logins: 103,
    messages: 1200,
    held: 3,
    oldest: now - 30 * hour,
    free: { octets: 12 * 2 ** 30, inodes: 2_000_000 },
    loopDelay: 0.004,
    memory: 120 * 2 ** 20,
    nearLimits: [{ login: `anna.${long}`, used: 480, limit: 500, unit: "messages a day" }],
    pauses: [],
    blocks: 2,
  },
  passwords: { file: `/var/lib/${"deep/".repeat(30)}mail-passwords`, written: now - 240_000, synced: true },
  queue: {
    messages: 1200,
    held: 3,
    oldest: now - 30 * hour,
    destinations: [
      {
        domain: `${long}.example.net`,
        recipients: 900,
        oldest: now - 30 * hour,
        reply: {
          relay: "none",
          code: 451,
          status: "4.7.1",
          text: `<carl@example.net> is not welcome ${"y".repeat(300)}`,
        },
      },
    ],
  },
  warnAfter: 4 * hour,
  frozen: [`ben.${long}`],
  blocked: [],
  activity: {
    slots: Array.from({ length: 24 }, (_, at) => ({
      accepted: 1_234_567 + at * 50_000,
      delivered: 12_345_678,
      deferred: at,
      returned: at % 5 === 0 ? 0 : at,
      refused: 7,
    })),
    guessing: [{ client: "unknown[2001:db8:1234:5678:9abc:def0:1234:5678]", wrong: 120 }],
  },
  providers: [
    {
      name: "Google Workspace",
      delivered: 12_345,
      deferred: 1_234,
      refused: 123,
      reasons: [
        { class: "authentication", times: 1_200 },
        { class: "rate", times: 150 },
        { class: "unknown", times: 7 },
        { class: "policy", times: 1 },
      ],
      delay: { median: 2.1, percentile95: 7_250 },
      tls: { verified: 1, unverified: 12_344, clear: 0 },
    },
    {
      name: `${long}.example.com`,
      delivered: 0,
      deferred: 1,
      refused: 0,
      reasons: [{ class: "no-answer", times: 1 }],
      tls: { verified: 0, unverified: 0, clear: 0 },
    },
  ],
  checks: {
    concerns: [
      { check: "passwords", words: "/x:7: anna: no hash that lets anybody in", advice: "See it.", more: 2 },
    ],
    unjudged: [{ check: "log", reason: "nothing found within 2 s" }],
  },
  top: [{ login: `dora.${long}`, recipients: 1200 }],
};

test("the page names nobody unless it may", () => {
  const personal = /anna|ben\.|carl|dora|2001:db8/;
  expect(statusPage(facts, []).body).toMatch(personal);
  expect(statusPage(withoutNames(facts), findings(withoutNames(facts))).body).not.toMatch(personal);
});

test("how the providers take our mail stands there, and what a check warns of", () => {
  const words = (markup: string) => markup.replace(/<[^>]*>/g, " ").replace(/\s+/g, " ");
  const seen = words(statusPage(facts, findings(facts)).body);
  expect(seen).toContain(
    "Google Workspace 12345 1234 123 half within 2.1 s, 95 % within 2h; 100 % with TLS; 1200 authentication; 150 rate; 7 unknown ",
  );
  expect(seen).toContain(`${long}.example.com 0 1 0 1 no-answer `);
  expect(seen).toContain("passwords: /x:7: anna: no hash that lets anybody in (and 2 more) -&gt; See it ");
  expect(seen).toContain("not judged log: nothing found within 2 s");
  const unnamed = withoutNames(facts);
  expect(words(statusPage(unnamed, findings(unnamed)).body)).toContain("passwords: see tpa-submit check ");
});

test("what others said cannot become markup", () => {
  const said = "</dd><script>alert(1)</script>";
  expect(statusPage({ ...facts, hostname: said, frozen: [said] }, []).body).not.toContain("<script");
});

describe("a relay at work", () => {
  let relay: Relay | undefined;
  afterEach(async () => {
    await relay?.stop();
    relay = undefined;
  });

  async function started(settings: string): Promise<Relay> {
    relay = await startRelay(settings);
    return relay;
  }

  const listen =
    '[listen]\nsubmission = ["127.0.0.1:0"]\nsubmissions = ["127.0.0.1:0"]\nhttp = "127.0.0.1:0"\n';

  /** The page as it stands, its text without markup. */
  async function page(at: Relay): Promise<string> {
    const ports = [...at.log().matchAll(/listening for http on 127\.0\.0\.1:(\d+)/g)];
    const answer = await fetch(`http://127.0.0.1:${ports.at(-1)?.[1]}/`);
    expect(answer.status).toBe(200);
    const text = await answer.text();
    const [, style = ""] = /<style>(.*?)<\/style>/s.exec(text) ?? [];
    const hash = createHash("sha256").update(style).digest("base64");
    expect(answer.headers.get("content-security-policy")).toContain(
      `default-src 'none'; style-src 'sha256-${hash}'`,
    );
    expect(text).toMatch(/<meta http-equiv="refresh" content="30">/);
    expect(text).not.toMatch(/<script|href=|src=|url\(|style="/);
    return text
      .replace(style, "")
      .replace(/<[^>]*>/g, " ")
      .replace(/\s+/g, " ");
  }

  async function oneMessage(at: Relay): Promise<void> {
    const talk = await greet(at);
    await expecting("535", talk.say(authPlain("user1", "wrong")));
    await expecting("235", talk.say(authPlain("user1", at.password)));
    await at.logged(new RegExp(`${await submit(talk, note("counted"))}: removed`));
    talk.close();
  }

  test("shows what was sent, without names, and remembers it after a restart", async () => {
    const at = await started(listen);
    await oneMessage(at);
    const seen = await page(at);
    expect(seen).toMatch(/relay\.example\.org: well/);
    expect(seen).toMatch(/last hour last 24 hours accepted 1 1 delivered 1 1 deferred 0 0/);
    expect(seen).toMatch(
      /Providers, 24 hours delivered deferred refused \S+ 1 0 0 half within .*; \d+ % with TLS /,
    );
    expect(seen).toMatch(/top logins #1 1 /);
    expect(seen).toMatch(/wrong passwords #1 1 /);
    expect(seen).not.toMatch(/user1|127\.0\.0\.1/);
    at.signal("SIGTERM");
    await at.ended;
    await at.start();
    await expect
      .poll(() => page(at), { timeout: 30_000, interval: 1100 })
      .toMatch(/accepted 1 1 delivered 1 1/);
  });

  test("names logins and clients where it may, and has no figures where no history is kept", async () => {
    const at = await started(`${listen}http-personal = true\n[history]\nkeep = "1d"`);
    await oneMessage(at);
    expect(await page(at)).toMatch(/top logins user1 1 wrong passwords 127\.0\.0\.1 1/);
    await at.configure(`${listen}http-personal = true\n[history]\nkeep = "0s"`);
    at.signal("SIGHUP");
    await at.logged(/configuration, certificate and passwords re-read/);
    await expect.poll(() => page(at), { timeout: 30_000, interval: 1100 }).toMatch(/no history is kept/);
  });

  test("tells what check warns of, as soon as it has looked", async () => {
    const at = await started(`${listen}http-personal = true\n`);
    await chmod(join(at.folder, "mail-passwords"), 0o644);
    await expect
      .poll(() => page(at), { timeout: 60_000, interval: 1100 })
      .toMatch(/files: \S+mail-passwords: everybody can read it \(mode 0644\) -(?:>|&gt;) chown/);
  });

  test("shows the domains that mail waits for", async () => {
    const at = await started(`${listen}[delivery]\nrelay = "smtp://127.0.0.1:1"`);
    const talk = await greet(at);
    await expecting("235", talk.say(authPlain("user1", at.password)));
    await at.logged(new RegExp(`${await submit(talk, note("waits"))}: to=.*status=deferred`));
    talk.close();
    await expect
      .poll(() => page(at), { timeout: 30_000, interval: 1100 })
      .toMatch(/queue 1 message, the oldest \d+s \S+\.\S+ 1, \d+s: 4\d\d 4\.\d\.\d /);
  });
});

describe.skipIf(!real("chromium"))("the page in Chromium", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "tpa-submit-status-"));
  });
  afterAll(() => rm(folder, { recursive: true, maxRetries: 5 }));

  const chromium = (...argv: readonly string[]) =>
    promisify(execFile)(
      pathOf("chromium") ?? "",
      [
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        `--user-data-dir=${join(folder, "profile")}`,
        "--no-first-run",
        "--disable-background-networking",
        ...argv,
      ],
      { maxBuffer: 2 ** 26, timeout: 60_000 },
    );

  const inFrame = (page: string, width: number, script: string) =>
    `<!doctype html><meta charset="utf-8"><body style="margin:0"><pre id="seen"></pre>
<iframe srcdoc="${page.replaceAll("&", "&amp;").replaceAll('"', "&quot;")}" style="width:${width}px;height:6000px;border:0"></iframe><script>
document.querySelector("iframe").onload = ({ target: { contentWindow: window } }) => { ${script} };
</script>`;

  test.each([
    [390, false],
    [390, true],
    [1200, false],
    [1200, true],
  ])("%i pixels wide, dark: %s: nothing overflows", async (width, dark) => {
    const frame = join(folder, "frame.html");
    const { body } = statusPage(facts, findings(facts));
    await writeFile(
      frame,
      inFrame(
        body.replace(/<meta http-equiv="refresh".*?>/, ""),
        width,
        `document.getElementById("seen").textContent = JSON.stringify({
  width: window.document.scrollingElement.scrollWidth,
  over: [...window.document.querySelectorAll("main *")].filter((part) => part.scrollWidth > part.clientWidth + 1 && part.clientWidth > 0).map(({ tagName }) => tagName),
  paper: window.getComputedStyle(window.document.body).backgroundColor,
});`,
      ),
    );
    const { stdout } = await chromium(
      "--window-size=1400,2100",
      ...(dark ? ["--force-dark-mode"] : []),
      "--dump-dom",
      `file://${frame}`,
    );
    expect(JSON.parse(/<pre id="seen">(.*?)<\/pre>/s.exec(stdout)?.[1] ?? "")).toEqual({
      width,
      over: [],
      paper: dark ? "rgb(18, 22, 28)" : "rgb(245, 246, 248)",
    });
  });

  test("has its style under the policy that the listener sends", async () => {
    const http = await startHttp(
      { host: "127.0.0.1", port: 0 },
      {
        metrics: () => "",
        health: () => ({ ok: true }),
        status: async () => statusPage(facts, findings(facts)),
      },
    );
    try {
      const picture = join(folder, "picture.png");
      const size = "--window-size=1200,1400";
      await chromium(size, `--screenshot=${picture}`, `http://127.0.0.1:${http.address.port}/`);
      expect(await firstPixel(picture)).toEqual([245, 246, 248]);
    } finally {
      await http.close();
    }
  });
});

/** Of a PNG with 8 bits a colour: whatever its first line is filtered by, its first pixel stands as it is. */
async function firstPixel(path: string): Promise<readonly number[]> {
  const file = await readFile(path);
  const parts: Buffer[] = [];
  for (let at = 8; at < file.length; at += 12 + file.readUInt32BE(at)) {
    if (file.toString("latin1", at + 4, at + 8) === "IDAT") {
      parts.push(file.subarray(at + 8, at + 8 + file.readUInt32BE(at)));
    }
  }
  return [...inflateSync(Buffer.concat(parts)).subarray(1, 4)];
}
