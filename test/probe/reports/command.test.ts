/** The command as its user meets it: what it prints, keeps, counts once, and how it ends. */
import { execFile } from "node:child_process";
import { chown, mkdir, mkdtemp, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { program } from "../../../demo/program.mjs";
import { isRoot } from "../../interop/root.ts";
import { gzipOf, mailWith, sample, zipOf } from "./packed.ts";

let folder: string;
let store: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-reports-"));
  store = join(folder, "reports");
});
afterEach(() => rm(folder, { recursive: true }));

interface Ran {
  readonly status: number;
  readonly out: string;
  readonly err: string;
}

function run(words: readonly string[], input?: Buffer): Promise<Ran> {
  return new Promise((resolve) => {
    const child = execFile(process.execPath, [program, "probe", ...words], (error, out, err) =>
      resolve({ status: error ? Number(error.code) : 0, out, err }),
    );
    child.stdin?.on("error", () => undefined); // it need not be read
    child.stdin?.end(input);
  });
}

const reports = (...words: readonly string[]): Promise<Ran> =>
  run(["reports", "--store", store, "--days", "400", ...words]);

/** The samples' day moved to two days before now, so that they are of the days that are told of. */
const shift = Math.floor(Date.now() / 86_400_000) * 86_400 - 2 * 86_400 - 1_795_737_600;
const recent = (octets: Buffer): Buffer =>
  Buffer.from(
    octets
      .toString()
      .replace(/17958?\d{8}(?=\s*<)/g, (time) => String(Number(time) + shift))
      .replace(
        /2026-11-27(?=T\d\d:\d\d:\d\dZ")/g,
        new Date((1_795_737_600 + shift) * 1000).toISOString().slice(0, 10),
      ),
  );

async function put(name: string, octets: Buffer | string): Promise<string> {
  const file = join(folder, name);
  await writeFile(file, octets);
  return file;
}

/** One file of each kind, as they come. */
async function allSamples(): Promise<readonly string[]> {
  return [
    await put("google.zip", zipOf(recent(sample("google.xml")))),
    await put("microsoft.xml.gz", gzipOf(recent(sample("microsoft.xml")))),
    await put("yahoo.eml", mailWith(gzipOf(recent(sample("yahoo.xml"))))),
    await put("mailru.xml", recent(sample("mailru.xml"))),
    await put("opendmarc.eml", mailWith(zipOf(recent(sample("opendmarc.xml"))), "application/zip")),
    await put("google-tls.json.gz", gzipOf(recent(sample("google-tls.json")))),
    await put(
      "microsoft.eml",
      mailWith(gzipOf(recent(sample("microsoft-tls.json"))), "application/tlsrpt+gzip"),
    ),
  ];
}

describe("tpa-submit probe reports", () => {
  test("tells in plain words whose mail failed and where, and how TLS went", async () => {
    const { status, out, err } = await reports("--own", "192.0.2.0/28", ...(await allSamples()));
    expect([status, err]).toEqual([0, ""]);
    expect(out).toBe(`Read: 7 new reports.

99.7 % of 490 messages from our addresses passed DMARC (1 quarantined), 98.3 %
  of 244 TLS sessions to us succeeded.

DMARC: 5 reports of 400 days on example.org (p=quarantine)
RECEIVER                          MESSAGES   PASSED     DKIM      SPF  REFUSED
google.com                             415   99.2 %   99.2 %   99.2 %        3
Outlook.com                             59   96.6 %   96.6 %    0.0 %        0
Yahoo                                   20    100 %    100 %    100 %        0
Почта Mail.ru                            5    0.0 %    0.0 %    0.0 %        0
mx.example.net                           1    0.0 %    0.0 %    0.0 %        1

SOURCE                    WHOSE   MESSAGES   PASSED     DKIM      SPF  REFUSED
192.0.2.10                ours         490   99.7 %   99.7 %   88.1 %        1
203.0.113.0/24            others'        5    0.0 %    0.0 %    0.0 %        0
2001:db8:1::/48           others'        3    0.0 %    0.0 %    0.0 %        3
198.51.100.0/24           others'        2    0.0 %    0.0 %    0.0 %        0

PASSED NEITHER DKIM NOR SPF
  1 as example.org from 192.0.2.10 (ours) at mx.example.net: quarantined
  5 as example.org from 203.0.113.0/24 at Почта Mail.ru: passed as
    forwarder.example.com; let through; mailing_list
  3 as example.org from 2001:db8:1::/48 at google.com: passed as
    lists.example.net; quarantined
  2 as example.org from 198.51.100.0/24 at Outlook.com: let through;
    local_policy

TLS: 2 reports of 400 days on sessions with our servers
SENDER                                        SESSIONS      FAILED     SUCCESS
Google Inc.                                        207           3      98.5 %
Microsoft Corporation                               37           1      97.2 %

FAILED
  3 of Google Inc. at mx.example.org: certificate-expired
  1 of Microsoft Corporation at sub.example.org: starttls-not-supported
`);
    for (const line of out.split("\n")) expect(line.length).toBeLessThanOrEqual(80);
  });

  test("counts no report twice, and knows our addresses again", async () => {
    const files = await allSamples();
    await reports("--own", "192.0.2.10", ...files.slice(0, 1));
    const { out } = await reports(...files);
    expect(out).toContain("Read: 6 new reports, 1 that was known.");
    expect(out).toContain("490 messages from our addresses");
    const again = await reports();
    expect(again.out).toContain("490 messages from our addresses");
    expect(again.out).not.toContain("Read:");
  });

  test("keeps no address of others, no contact and no ID, for its owner and group alone", async () => {
    await reports("--own", "192.0.2.10", ...(await allSamples()));
    const kept = await readFile(store, "utf8");
    expect(kept).toContain("192.0.2.10");
    expect(kept).not.toMatch(/198\.51\.100\.77|203\.0\.113\.9|1:2::25|@|10845523398216723412/);
    expect((await stat(store)).mode & 0o777).toBe(0o640);
  });

  test.skipIf(!isRoot)("gives what root keeps to who has the folder", async () => {
    await chown(folder, 65534, 65534);
    const [file = ""] = await allSamples();
    await reports(file);
    expect(await stat(store)).toMatchObject({ uid: 65534, gid: 65534 });
  });

  test("forgets what is older than it shall keep", async () => {
    const [file = ""] = await allSamples();
    expect((await reports("--keep", "1s", file)).out).toContain("No report of the last 400 days was read.");
    expect(await readFile(store, "utf8")).not.toContain("google");
  });

  test("reads standard input, a folder and a Maildir", async () => {
    const { out } = await run(["reports", "--store", store, "-"], zipOf(recent(sample("google.xml"))));
    expect(out).toContain("Read: 1 new report.");
    await mkdir(join(folder, "box/new"), { recursive: true });
    await mkdir(join(folder, "box/cur"));
    await put("box/new/1", mailWith(gzipOf(recent(sample("yahoo.xml")))).replaceAll("\r\n", "\n"));
    await put("box/cur/2:2,S", "Subject: hello\n\nno report\n");
    expect((await reports(`maildir:${folder}/box`)).out).toContain("Read: 1 new report, 1 without any.");
    expect((await reports(join(folder, "box/new"))).out).toContain("Read: 0 new reports, 1 that was known.");
  });

  test("gives figures as JSON", async () => {
    const { out } = await reports("--json", "--own", "192.0.2.10", ...(await allSamples()));
    expect(JSON.parse(out)).toMatchObject({
      days: 400,
      dmarc: { reports: 5, own: { messages: 490, passed: 489, quarantined: 1 } },
      tls: { reports: 2, all: { sessions: 244, failed: 4 } },
      run: { new: 7, others: 0, refused: [], troubles: [] },
    });
  });

  test("is a plugin", async () => {
    const files = await allSamples();
    const empty = await reports("--nagios");
    expect(empty).toEqual({
      status: 3,
      out: "REPORTS UNKNOWN - no report of the last 400 days was read\n",
      err: "",
    });
    const well = await reports("--nagios", "--own", "192.0.2.10", ...files);
    expect(well.out).toBe(
      "REPORTS OK - 99.7 % of 490 messages from our addresses passed DMARC (1 quarantined), 98.3 % of 244 TLS sessions to us succeeded | own=99.79%;98:;90:;0;100 tls=98.36%;98:;90:;0;100\n",
    );
    expect(well.status).toBe(0);
    expect((await reports("--nagios", "--warn", "99")).status).toBe(1);
    expect((await reports("--nagios", "--warn", "100", "--crit", "99")).status).toBe(2);
    const usage = await reports("--nagios", "--warn", "10");
    expect(usage).toMatchObject({
      status: 3,
      out: expect.stringMatching(/^REPORTS UNKNOWN - expected --crit <= --warn/),
    });
    const bad = await reports("--nagios", await put("bad.gz", gzipOf(Buffer.from("<feedback>"))));
    expect(bad.out).toContain("; 1 report could not be read |");
  });

  test("writes metrics", async () => {
    const file = join(folder, "reports.prom");
    await reports("--prometheus", file, "--own", "192.0.2.10", ...(await allSamples()));
    const text = await readFile(file, "utf8");
    for (const line of [
      'tpa_submit_reports_read{kind="dmarc"} 5',
      "tpa_submit_reports_refused 0",
      'tpa_submit_reports_own_messages{result="passed"} 489',
      'tpa_submit_reports_own_messages{result="failed"} 1',
      'tpa_submit_reports_messages{receiver="google.com",result="failed"} 3',
      'tpa_submit_reports_tls_sessions{sender="Google Inc.",result="failed"} 3',
      'tpa_submit_reports_tls_failures{type="certificate-expired"} 3',
    ])
      expect(text).toContain(`${line}\n`);
  });

  test("stands on the page and in the text of probe report", async () => {
    await reports("--own", "192.0.2.10", ...(await allSamples()));
    const page = join(folder, "page.html");
    const history = join(folder, "history");
    expect((await run(["report", "--history", history, "--html", page])).status).toBe(0);
    const html = await readFile(page, "utf8");
    expect(html).toContain("<h2>What receivers report</h2>");
    expect(html).toContain("99.2 % of 415 passed; 3 quarantined, 0 rejected");
    expect(html).toContain("1 as example.org from 192.0.2.10 (ours) at mx.example.net: quarantined");
    expect((await run(["report", "--history", history])).out).toContain(
      "DMARC: 5 reports of 30 days on example.org",
    );
  });

  test("says which were refused, and why, and ends with 65 where nothing else was there", async () => {
    const bad = await put("bad.xml", "<!DOCTYPE x><feedback/>");
    const { status, out } = await reports(bad);
    expect(status).toBe(65);
    expect(out).toContain(
      `Read: 0 new reports, 1 refused.\n  refused: ${bad}: it has a document type, which no report needs\n`,
    );
    const [good = ""] = await allSamples();
    expect((await reports(bad, good)).status).toBe(0);
  });

  test("believes mail only whose author the receiving host vouches for, where that is wanted", async () => {
    const mail = mailWith(gzipOf(recent(sample("yahoo.xml"))));
    const vouched = `Authentication-Results: mx.example.org; dmarc=pass header.from=receiver.example.net\r\n${mail}`;
    const forged = `Authentication-Results: elsewhere.example.net; dmarc=pass\r\n${mail}`;
    const authority = ["--authority", "mx.example.org"];
    const no = await reports(...authority, await put("forged.eml", forged));
    expect(no.out).toContain("mx.example.org does not say that it passed DMARC");
    expect(no.status).toBe(65);
    expect((await reports(...authority, await put("good.eml", vouched))).out).toContain(
      "Read: 1 new report.",
    );
  });

  test.each([
    [["/nowhere/x.zip"], 66, "/nowhere/x.zip: ENOENT"],
    [["--own", "not a host", "x"], 64, '--own: "not a host" is no address, network or host name'],
    [["--days", "0"], 64, "--days <number>: expected a whole number from 1 to 400"],
    [["--json", "--nagios"], 64, "--json and --nagios do not go together"],
    [["smtp://localhost:25"], 64, "reports are read, and not waited for"],
    [["imaps://reports@localhost:1/x"], 64, "a mailbox wants a password"],
    [["--crit", "99"], 64, "expected --crit <= --warn"],
    [["--stor", "x"], 64, "unknown option"],
  ])("refuses %j with %i", async (words, status, said) => {
    const ran = await reports(...words);
    expect(`${ran.out}${ran.err}`).toContain(said);
    expect(ran.status).toBe(words.includes("--nagios") ? 3 : status);
  });

  test("says where it cannot keep what it has read", async () => {
    const [file = ""] = await allSamples();
    const { status, err } = await run(["reports", "--store", join(folder, "nowhere/reports"), file]);
    expect(status).toBe(74);
    expect(err).toMatch(
      /^tpa-submit probe: .*nowhere\/reports: the reports cannot be kept: ENOENT.*; see --store\n$/,
    );
  });

  test("loses nothing where several run at once", async () => {
    const files = await allSamples();
    const runs = await Promise.all(files.map((file) => reports(file)));
    expect(runs.map(({ status }) => status)).toEqual(files.map(() => 0));
    expect((await reports()).out).toContain("DMARC: 5 reports");
  });
});
