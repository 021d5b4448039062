import { mkdtemp, readFile, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { openMetrics } from "../../../src/commands/sync/metrics.ts";
import type { SyncReport } from "../../../src/ldap/sync.ts";

const nothing = { added: [], changed: [], removed: [] };
const report: SyncReport = {
  url: "ldap://db.example.org",
  entries: 3,
  latest: "",
  schemes: new Map([
    ["BLF-CRYPT", 1],
    ["MD5-CRYPT", 1],
  ]),
  logins: 2,
  exclusions: [{ login: "user3", dn: "uid=user3", reason: "retired", detail: "" }],
  remarks: [],
  passwords: { path: "/mail-passwords", result: "replaced", difference: nothing, alarms: [] },
  aliases: undefined,
};

let folder: string;
let path: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "metrics-"));
  path = join(folder, "sync.prom");
});
afterAll(() => rm(folder, { recursive: true }));

/** As they are for a site with one domain. */
async function opened(file: string) {
  const all = await openMetrics(file, ["example.org"]);
  return { ...all, ...all.of("example.org") };
}

/** The samples of a text, without the lines that explain them. */
const samples = (text: string): string[] =>
  text
    .split("\n")
    .filter((line) => line !== "" && !line.startsWith("#"))
    .map((line) => line.replace(/^tpa_submit_sync_/, ""));

describe("openFigures()", () => {
  test("tells a run that went well", async () => {
    const figures = await opened(path);
    expect(figures.healthy()).toBe(true);
    await figures.succeeded(report, 1_000_000, 1_002_500);
    expect(samples(await readFile(path, "utf8"))).toEqual([
      "last_success_timestamp_seconds 1002.5",
      "last_run_timestamp_seconds 1002.5",
      "last_run_success 1",
      "last_change_timestamp_seconds 1002.5",
      "duration_seconds 2.5",
      "entries 3",
      'users{scheme="BLF-CRYPT"} 1',
      'users{scheme="MD5-CRYPT"} 1',
      'excluded{reason="retired"} 1',
    ]);
    expect((await stat(path)).mode & 0o777).toBe(0o644);
  });

  test("goes on from the file in a new process, and a failure takes nothing away", async () => {
    const figures = await opened(path);
    await figures.failed(2_000_000);
    expect(figures.healthy()).toBe(false);
    const text = samples(await readFile(path, "utf8"));
    expect(text.slice(0, 4)).toEqual([
      "last_success_timestamp_seconds 1002.5",
      "last_run_timestamp_seconds 2000",
      "last_run_success 0",
      "last_change_timestamp_seconds 1002.5",
    ]);
    expect(text).toContain('users{scheme="MD5-CRYPT"} 1');
  });

  test("forgets schemes and reasons that are no more, and dates a change only where there was one", async () => {
    const figures = await opened(path);
    const unchanged = { ...report.passwords, result: "unchanged" } as const;
    await figures.succeeded(
      { ...report, schemes: new Map(), exclusions: [], passwords: unchanged },
      3_000_000,
      3_000_000,
    );
    const text = samples(await readFile(path, "utf8"));
    expect(text).toContain("last_change_timestamp_seconds 1002.5");
    expect(text.join()).not.toMatch(/users|excluded/);
  });

  test("writes the file once a minute while nothing changes, and tells the time over HTTP all along", async () => {
    const figures = await opened(path);
    await figures.succeeded(report, 4_000_000, 4_000_000);
    await figures.unchanged(4_059_000);
    expect(samples(figures.text())).toContain("last_success_timestamp_seconds 4059");
    expect(samples(await readFile(path, "utf8"))).toContain("last_success_timestamp_seconds 4000");
    await figures.unchanged(4_060_000);
    expect(samples(await readFile(path, "utf8"))).toContain("last_success_timestamp_seconds 4060");
  });

  test("writes at once when all is well again", async () => {
    const figures = await opened(path);
    await figures.failed(5_000_000);
    await figures.unchanged(5_001_000);
    expect(samples(await readFile(path, "utf8"))).toContain("last_run_success 1");
  });

  test("names the setting when the file cannot be written", async () => {
    const figures = await opened(join(folder, "nowhere", "sync.prom"));
    await expect(figures.failed(0)).rejects.toMatchObject({
      status: 73,
      message: /^sync\.metrics-file: cannot write/,
    });
  });
});

describe("the metrics of several domains", () => {
  const domains = ["example.org", "example.net"];
  const unchanged = { ...report, passwords: { ...report.passwords, result: "unchanged" } } as const;

  test("have the domain as a label, and go on from the file by domain", async () => {
    const file = join(folder, "domains.prom");
    const one = await openMetrics(file, ["example.org"]);
    await one.of("example.org").succeeded(report, 1_000, 1_000);
    const both = await openMetrics(file, domains);
    await both.of("example.net").failed(2_000);
    const written = [
      'last_success_timestamp_seconds{domain="example.org"} 1',
      'last_run_timestamp_seconds{domain="example.org"} 1',
      'last_run_timestamp_seconds{domain="example.net"} 2',
      'last_run_success{domain="example.org"} 1',
      'last_run_success{domain="example.net"} 0',
      'last_change_timestamp_seconds{domain="example.org"} 1',
      'duration_seconds{domain="example.org"} 0',
      'entries{domain="example.org"} 3',
      'users{domain="example.org",scheme="BLF-CRYPT"} 1',
      'users{domain="example.org",scheme="MD5-CRYPT"} 1',
      'excluded{domain="example.org",reason="retired"} 1',
    ];
    expect(samples(await readFile(file, "utf8"))).toEqual(written);
    expect(both.healthy()).toBe(false);
    const again = await openMetrics(file, domains);
    expect(samples(again.text())).toEqual(written);
    await again.of("example.net").succeeded(unchanged, 3_000, 3_000);
    expect(again.healthy()).toBe(true);
    expect(again.text()).toContain('last_change_timestamp_seconds{domain="example.org"} 1\n');
    expect(again.text()).not.toContain('last_change_timestamp_seconds{domain="example.net"}');
  });

  test("know no domain that was taken away, and one that came", async () => {
    const some = await openMetrics("", domains);
    await some.of("example.net").failed(1_000);
    some.setDomains(["example.org"]);
    await some.of("example.net").failed(2_000); // its last run
    await some.of("example.org").succeeded(report, 1_000, 1_000);
    expect(some.healthy()).toBe(true);
    expect(some.text()).not.toContain("example.net");
    expect(samples(some.text())).toContain("last_run_success 1");
    some.setDomains(["example.org", "example.com"]);
    expect(samples(some.text())).toContain('last_run_success{domain="example.org"} 1');
  });
});
