import { mkdir, mkdtemp, readdir, rename, rm, symlink, truncate, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { mostMessages, mostOctets, type SearchCriteria } from "../../../src/probe/arrival/mailbox.ts";
import { openMaildir } from "../../../src/probe/arrival/maildir.ts";

let maildir: string;
const start = Date.parse("2026-11-22T12:00:00Z");
const { signal } = new AbortController();
const everything: SearchCriteria = { mark: () => true, report: () => true };

beforeEach(async () => {
  maildir = await mkdtemp(join(tmpdir(), "maildir-"));
  for (const folder of ["", ".Junk", ".Work"])
    for (const part of ["new", "cur", "tmp"]) await mkdir(join(maildir, folder, part), { recursive: true });
});
afterEach(() => rm(maildir, { recursive: true, force: true }));

async function put(path: string, text: string, at = start): Promise<void> {
  const file = join(maildir, path);
  await writeFile(file, text);
  await utimes(file, at / 1000, at / 1000);
}

const marked = (text: string): string => `X-Tpa-Submit-Probe: x\n${text}`;

describe("a Maildir", () => {
  test("shows what came, once, in the inbox and in spam, and nothing else", async () => {
    const mailbox = await openMaildir(maildir);
    await put("new/1", marked("Subject: one\n\nhello\n"));
    await put(".Junk/cur/2:2,S", marked("Subject: two\r\n\r\n"));
    await put(".Work/new/3", marked("Subject: three\n\n"));
    await put("tmp/4", marked("Subject: four\n\n"));
    await put("new/5", marked("Subject: old\n\n"), start - 60_000);
    const messages = await mailbox.look(start, everything, signal);
    expect(messages.map(({ place, folder, octets }) => [place, folder, octets.toString()])).toEqual([
      ["inbox", "INBOX", "X-Tpa-Submit-Probe: x\r\nSubject: one\r\n\r\nhello\r\n"],
      ["spam", "Junk", "X-Tpa-Submit-Probe: x\r\nSubject: two\r\n\r\n"],
    ]);
    await rename(join(maildir, "new/1"), join(maildir, "cur/1:2,S"));
    expect(await mailbox.look(start, everything, signal)).toEqual([]);
    await put("new/6", marked("Subject: six\n\n"));
    expect(await mailbox.look(start, everything, signal)).toHaveLength(1);
  });

  test("with a message of 100 MiB and a symbolic link costs no memory", async () => {
    const mailbox = await openMaildir(maildir);
    await put("new/1", marked("x".repeat(1000)));
    await truncate(join(maildir, "new/1"), 100 * 2 ** 20);
    await utimes(join(maildir, "new/1"), start / 1000, start / 1000);
    const before = process.memoryUsage().rss;
    await symlink("/dev/zero", join(maildir, "new/2"));
    const [message, ...more] = await mailbox.look(start, everything, signal);
    expect(message?.octets.length).toBe(mostOctets + 1); // its only LF is CRLF now
    expect(message?.size).toBe(100 * 2 ** 20);
    expect(process.memoryUsage().rss - before).toBeLessThan(50 * 2 ** 20);
    expect(more).toEqual([]);
  });

  test("with very many messages shows the newest first", async () => {
    const mailbox = await openMaildir(maildir);
    for (let number = 0; number <= mostMessages; number++)
      await put(`new/${number}`, marked(`N: ${number}\n\n`), start + number * 1000);
    const messages = await mailbox.look(start, everything, signal);
    expect(messages).toHaveLength(mostMessages);
    expect(messages[0]?.octets.toString()).toContain(`N: ${mostMessages}\r\n`);
  });

  test("is tidied of our own old mail, and of nobody else's", async () => {
    const mailbox = await openMaildir(maildir);
    await put("cur/1:2,", "X-Tpa-Submit-Probe: ours\n\n");
    await put("cur/2:2,", "X-Tpa-Submit-Probe: theirs\n\n");
    await put("cur/3:2,", "Subject: x\n\nX-Tpa-Submit-Probe: ours\n");
    await put("cur/4:2,", "X-Tpa-Submit-Probe: ours\n\n", start + 60_000);
    expect(await mailbox.tidy(start + 1000, (mark) => mark === "ours", signal)).toBe(1);
    expect((await readdir(join(maildir, "cur"))).sort()).toEqual(["2:2,", "3:2,", "4:2,"]);
  });

  test("that is none is named before anything is sent", async () => {
    await expect(openMaildir(join(maildir, "nowhere"))).rejects.toThrow(
      /nowhere.*cannot be read.*is to be a Maildir/,
    );
  });
});
