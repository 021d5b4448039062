/** What scripts and machines hand over by Python's smtplib, just as they hand it to Postfix: it arrives, with an author. */
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../demo/relay.mjs";
import { runWell } from "../tools/child.mjs";
import { real } from "../tools/real.ts";
import { capturingHop, type Hop } from "./hops.ts";

/** What is sent, TOKEN in it, and how the message ends below the fields that every message gets. */
const messages: readonly (readonly [string, string, string])[] = [
  ["text and nothing else", "TOKEN", "From: user1@example.org\r\n\r\nTOKEN\r\n"],
  ["a Subject", "Subject: TOKEN\n\nHi", "From: user1@example.org\r\nSubject: TOKEN\r\n\r\nHi\r\n"],
  [
    "From: root@localhost",
    "From: Cron <root@localhost>\nSubject: x\n\nTOKEN",
    "From: Cron <user1@example.org>\r\nSubject: x\r\n\r\nTOKEN\r\n",
  ],
  [
    "a mailbox's first line",
    "From root Mon Nov 23 10:00:00 2026\nSubject: x\n\nTOKEN",
    "From: user1@example.org\r\nSubject: x\r\n\r\nTOKEN\r\n",
  ],
];

describe.skipIf(!real("python3"))("smtplib's sendmail() with", () => {
  let hop: Hop;
  let relay: Relay;

  beforeAll(async () => {
    hop = await capturingHop();
    relay = await startRelay(`[delivery]\n${hop.delivery}\nretry-first = "1s"`);
  });
  afterAll(async () => {
    await relay?.stop();
    await hop?.stop();
  });

  test.each(messages)("%s", async (_, message, expected) => {
    const token = crypto.randomUUID();
    const file = join(relay.folder, "careless");
    await writeFile(file, message.replace("TOKEN", token));
    const script = fileURLToPath(new URL("send.py", import.meta.url));
    const { submission, certificate, folder } = relay;
    await runWell("python3", [script, "text", `${submission}`, certificate, join(folder, "password"), file]);
    const arrived = await hop.arrived(token);
    expect(arrived).toMatch(/^Received: (?:.*\r\n){3}Date: .*\r\nMessage-ID: .*\r\n/);
    expect(arrived.endsWith(`\r\n${expected.replace("TOKEN", token)}`), arrived).toBe(true);
    const id = /\bid ([0-9A-F]{12})\b/.exec(arrived)?.[1];
    await relay.logged(
      new RegExp(
        `cleanup\\[\\d+\\]: ${id}: From or Sender named nobody, completed as <user1@example\\.org>\n`,
      ),
    );
  });
});
