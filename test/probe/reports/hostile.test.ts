/** Reports that are none, or are meant to do harm: each is refused in a few words, and costs little. */
import { execFile } from "node:child_process";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { gzipSync } from "node:zlib";
import { describe, expect, onTestFinished, test } from "vitest";
import { program } from "../../../demo/program.mjs";
import { openMail } from "../../../src/probe/reports/mail.ts";
import { plainWords } from "../../../src/probe/reports/report.ts";
import { readStore } from "../../../src/probe/reports/store.ts";
import { reportsIn } from "../../../src/probe/reports/unpack.ts";
import { gzipOf, mailWith, sample, zipOf } from "./packed.ts";

const now = Date.parse("2026-11-29T12:00:00Z");
const google = sample("google.xml");
const text = google.toString();
const json = sample("google-tls.json").toString();
const changed = (from: string | RegExp, to: string): Buffer => Buffer.from(text.replace(from, to));
const changedJson = (from: string | RegExp, to: string): Buffer => Buffer.from(json.replace(from, to));
const mebibytes = (count: number): Buffer => Buffer.alloc(count * 1024 * 1024, 32);

/** XML that unpacks to `size` MiB, most of it blanks. */
const bomb = (size: number): Buffer => Buffer.concat([Buffer.from("<feedback>"), mebibytes(size)]);
const laughs = `<?xml version="1.0"?><!DOCTYPE feedback [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><feedback>&b;</feedback>`;
const outside = `<!DOCTYPE feedback SYSTEM "file:///etc/passwd"><feedback/>`;

const refused: readonly (readonly [string, Buffer, string])[] = [
  ["a bomb of gzip", gzipOf(bomb(21)), "it unpacks to more than 20 MiB"],
  ["a bomb in an archive", zipOf(bomb(21)), "it unpacks to more than 20 MiB"],
  [
    "a bomb of JSON",
    gzipOf(Buffer.concat([Buffer.from('{"policies":['), mebibytes(5)])),
    "it unpacks to more than 4 MiB",
  ],
  [
    "more than an attachment may have",
    Buffer.concat([Buffer.from("<feedback>"), mebibytes(10)]),
    "it is too large",
  ],
  ["entities that multiply", Buffer.from(laughs), "it has a document type, which no report needs"],
  ["a file that an entity names", Buffer.from(outside), "it has a document type, which no report needs"],
  [
    "a document type that comes late",
    changed("<version>", "<!doctype x><version>"),
    "it has a document type, which no report needs",
  ],
  ["an entity of nobody", changed("google.com", "&google;"), "it has an entity that XML does not know"],
  [
    "a character that is none",
    changed("google.com", "&#x110000;"),
    "it has an entity that XML does not know",
  ],
  ["an entity without end", changed("google.com", "& more"), "it has an entity that XML does not know"],
  [
    "elements in elements",
    changed("<version>", `${"<a>".repeat(30)}<version>`),
    "its elements are nested too deep",
  ],
  ["a tag without end", changed("<version>", `<version ${"a".repeat(9000)}`), "a tag in it is too long"],
  ["a quote without end", changed("<version>", `<version a="${">".repeat(9000)}`), "a tag in it is too long"],
  ["elements that cross", changed("</record>", "</row>"), "it is not well-formed XML"],
  ["two documents", Buffer.from(`${text}<feedback/>`), "it is not well-formed XML"],
  ["words behind it", Buffer.from(`${text}words`), "it has text outside its elements"],
  ["half a document", Buffer.from(text.slice(0, -20)), "it breaks off"],
  ["half a gzip", gzipOf(google).subarray(0, 300), "it is packed wrongly, or breaks off"],
  [
    "a wrong gzip",
    Buffer.concat([gzipOf(google).subarray(0, 60), Buffer.alloc(400)]),
    "it is packed wrongly, or breaks off",
  ],
  ["half an archive", zipOf(google, { torn: 30 }), "the archive breaks off"],
  ["many members", zipOf(google, { entries: 9 }), "the archive has more than 8 members"],
  [
    "a name that leads up",
    zipOf(google, { name: "../../etc/cron.d/x" }),
    "a name in the archive leads elsewhere",
  ],
  ["a name from the root", zipOf(google, { name: "/etc/x" }), "a name in the archive leads elsewhere"],
  ["a name of another drive", zipOf(google, { name: "C:x" }), "a name in the archive leads elsewhere"],
  ["an encrypted archive", zipOf(google, { flags: 1 }), "the archive is encrypted"],
  ["an unusual method", zipOf(google, { method: 12 }), "the archive is packed in an unusual way"],
  ["a giant count", changed("<count>412", "<count>99999999999999"), "a count is too large to be true"],
  ["a count of a hundred digits", changed("<count>412", `<count>${"9".repeat(100)}`), "a count is no number"],
  ["a negative count", changed("<count>412", "<count>-1"), "a count is no number"],
  ["no count", changed("<count>412</count>", ""), "a record has no count"],
  ["a time to come", changed("1795823999", "1799999999"), "its range of time cannot be true"],
  ["a time that runs back", changed("1795823999", "1795737599"), "its range of time cannot be true"],
  ["a time before DMARC", changed("1795737600", "1"), "its range of time cannot be true"],
  ["no ID", changed(/<report_id>.*<\/report_id>/, ""), "it does not say of what it is"],
  [
    "no domain",
    changed("<domain>example.org</domain>\n    <adkim>", "<adkim>"),
    "it does not say of what it is",
  ],
  ["a character set of nobody", changed("UTF-8", "x-secret"), "it is in a character set that is not read"],
  ["JSON in JSON", Buffer.from(`{"a":${"[".repeat(100_000)}`), "it is nested too deep"],
  ["half of JSON", Buffer.from(json.trim().slice(0, -1)), "it is no JSON, or breaks off"],
  ["a giant number", changedJson(": 204", ": 1e300"), "a count is no number"],
  ["a negative number", changedJson(": 204", ": -204"), "a count is no number"],
  ["an odd date", changedJson("2026-11-27T00:00:00Z", "yesterday"), "its range of time cannot be read"],
  [
    "a policy of nobody",
    changedJson('"policy-domain": "example.org"', '"policy-domain": "<b>"'),
    "a policy in it has no domain",
  ],
];

test.each(refused)("%s is refused", async (_, octets, why) => {
  await expect(reportsIn(octets, now)).rejects.toThrow(new Error(why));
});

test("strangers' words become one short line without anything that moves a cursor", async () => {
  const org = "\u001b[2Jgoogle\u202e|&#10;PROBE OK&#x1b;[0m".padEnd(300, "x");
  const [report] = await reportsIn(changed("google.com", org), now);
  expect(report?.organization).toBe("[2Jgoogle PROBE OK [0m".padEnd(80, "x"));
  expect(plainWords("a\u0000\u2028\n|b")).toBe("a b");
});

function read(mail: string): number {
  const reader = openMail();
  reader.write(Buffer.from(mail, "latin1"));
  return reader.end().attachments.length;
}

describe("a mail", () => {
  const multipart = (boundary: string, type = "mixed"): string =>
    `MIME-Version: 1.0\r\nContent-Type: multipart/${type}; boundary=${boundary}\r\n\r\n`;

  test.each([
    ["of 16 MiB and more", "x".repeat(17 * 1024 * 1024), "the message is too large"],
    [
      "with parts in parts",
      Array.from({ length: 60 }, (_, at) => `${multipart(`b${at}`)}--b${at}\r\n`).join(""),
      "it has parts in parts without end",
    ],
    ["with many parts", `${multipart("b")}${"--b\r\n\r\nx\r\n".repeat(50)}`, "it has more than 40 parts"],
  ])("%s is refused", (_, mail, why) => {
    expect(() => read(mail)).toThrow(why);
  });

  test("with half a million blank lines, a long line or no line end is read", () => {
    expect(read("\r\n".repeat(500_000))).toBe(0);
    expect(
      read(`${multipart("b")}--b\r\nContent-Type: application/gzip\r\n\r\n${"x".repeat(1_000_000)}\r\n--b--`),
    ).toBe(1);
    expect(read(mailWith(gzipOf(google)).replaceAll("\r\n", "\n").trimEnd())).toBe(1);
  });
});

test("a store that a crash tore, or that is none, is read as far as it goes", () => {
  const { reports, places, own } = readStore(
    '{"key":"a","kind":"dm\nnull\n7\n[]\n{"own":[1]}\n{"key":"x","kind":"tls"}\n',
  );
  expect([reports.size, places.size, own]).toEqual([0, 0, []]);
});

test("bombs cost the program no memory", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-reports-"));
  onTestFinished(() => rm(folder, { recursive: true }));

  /** KiB at most; says what it printed, too. */
  async function memoryFor(name: string, octets: Buffer): Promise<readonly [number, string]> {
    const file = join(folder, name);
    await writeFile(file, octets);
    // Not getrusage(2): its figure begins with what the parent had.
    const script = "process.on('exit',()=>console.error(fs.readFileSync('/proc/self/status','latin1')))";
    const peak = `data:text/javascript,import fs from 'node:fs';${script}`;
    const words = [program, "probe", "reports", "--store", join(folder, `${name}.store`), file];
    const run = promisify(execFile)(process.execPath, ["--import", peak, ...words]);
    const { stdout, stderr } = await run.catch((error: { stdout: string; stderr: string }) => error);
    return [Number(/VmHWM:\s+(\d+)/.exec(stderr)?.[1]), stdout];
  }

  const [small, words] = await memoryFor("small", gzipOf(google));
  expect(words).toContain("Read: 1 new report.");
  const huge = gzipSync(mebibytes(512)); // half a mebibyte
  const [whole, said] = await memoryFor("huge", Buffer.concat([gzipOf(Buffer.from("<feedback>")), huge]));
  expect(said).toContain("it unpacks to more than 20 MiB");
  expect(whole - small).toBeLessThan(64 * 1024);
}, 60_000);
