/** What the log tells of clients that have not logged in: the programs that watch it count them. */
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, expect, onTestFinished, test } from "vitest";
import { openSink } from "../../../src/server/log/sink.ts";
import { pathOf, real } from "../../tools/real.ts";
import { ask, greeted, loggedIn, noBug, opened, texts } from "./test-clients.ts";
import type { TestListener } from "./test-listener.ts";

const encoded = (text: string): string => Buffer.from(text).toString("base64");
const denials = (server: TestListener): readonly string[] =>
  texts(server).filter((text) => text.startsWith("NOQUEUE"));

const closed = async (server: TestListener): Promise<void> => {
  while (server.listener.sessions() > 0) await new Promise((resolve) => setTimeout(resolve, 5));
};

test("a stranger's RCPT is told of once, in Postfix's words", async () => {
  const server = await opened("submission");
  const client = await greeted(server, false);
  expect(await ask(client, "MAIL FROM:<a@example.org>")).toMatch(/^530 /);
  expect(await ask(client, "RCPT TO:<b@example.net>")).toMatch(/^530 /);
  expect(await ask(client, "RCPT TO:<c@example.net>")).toMatch(/^530 /);
  expect(await ask(client, "MAIL FROM:<a@example.org>")).toMatch(/^530 /);
  expect(await ask(client, "QUIT")).toMatch(/^221 /);
  await closed(server);
  expect(denials(server)).toEqual([
    "NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <b@example.net>: Relay access denied; from=<a@example.org> to=<b@example.net> proto=ESMTP helo=<client.example>",
  ]);
  noBug(server);
});

test("a stranger's MAIL alone is told of when the session ends", async () => {
  const server = await opened("smtps");
  const client = await greeted(server);
  expect(await ask(client, "MAIL FROM:<a@example.org>")).toMatch(/^530 /);
  expect(denials(server)).toEqual([]);
  client.destroy();
  await closed(server);
  expect(denials(server)).toEqual([
    "NOQUEUE: reject: RCPT from unknown[127.0.0.1]: 554 5.7.1 <>: Relay access denied; from=<a@example.org> proto=ESMTP helo=<client.example>",
  ]);
});

test("who logs in is never told of, and who only logs in neither", async () => {
  const server = await opened("smtps");
  const late = await greeted(server);
  expect(await ask(late, "MAIL FROM:<user1@example.org>")).toMatch(/^530 /);
  expect(await ask(late, `AUTH PLAIN ${encoded("\0user1\0secret")}`)).toMatch(/^235 /);
  late.destroy();
  const client = await loggedIn(server);
  expect(await ask(client, "RCPT TO:<b@example.net>")).toMatch(/^503 /);
  expect(await ask(client, "QUIT")).toMatch(/^221 /);
  await closed(server);
  expect(texts(server).join("\n")).not.toContain("Relay access denied");
});

test("a login of 8 kB, which may be anything, is cut in the log", async () => {
  const server = await opened("smtps");
  const client = await greeted(server);
  const login = `${"x".repeat(8_000)}@example.org`;
  expect(await ask(client, `AUTH PLAIN ${encoded(`\0${login}\0secret`)}`)).toMatch(/^535 /);
  const failure = server.log.find(({ event }) => event === "auth-failed");
  expect(failure?.text.length).toBeLessThan(400);
  expect(failure?.text).toContain("x".repeat(255));
  expect(String(failure?.fields["login"]).length).toBeLessThanOrEqual(256);
});

describe("the programs that read the log", () => {
  async function written(): Promise<string> {
    const server = await opened("submission");
    const client = await greeted(server, false);
    await ask(client, "MAIL FROM:<a@example.org>");
    await ask(client, "RCPT TO:<b@example.net>");
    const brief = await greeted(server, false);
    await ask(brief, "MAIL FROM:<a@example.org>");
    client.destroy();
    brief.destroy();
    await closed(server);
    const folder = mkdtempSync(join(tmpdir(), "tpa-submit-log-"));
    onTestFinished(() => rmSync(folder, { recursive: true }));
    const path = join(folder, "mail.log");
    const plan = {
      target: { kind: "file", path },
      format: "postfix",
      hostname: "relay.example.org",
    } as const;
    const sink = await openSink(plan, Date.now);
    for (const entry of server.log) sink.write(entry);
    await sink.close();
    return path;
  }

  const output = (name: string, ...words: readonly string[]): string =>
    execFileSync(pathOf(name) ?? name, words, { encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] });

  test.skipIf(!real("fail2ban-regex"))("fail2ban's stock filter counts each session once", async () => {
    const found = output("fail2ban-regex", "--out", "ip", await written(), "postfix[mode=more]");
    expect(found.trim().split("\n")).toEqual(["127.0.0.1", "127.0.0.1"]);
  });

  test.skipIf(!real("pflogsumm"))("pflogsumm counts them as rejected", async () => {
    const summary = output("pflogsumm", await written());
    expect(summary).toMatch(/^ +2 {2,3}rejected /m);
    expect(summary).toMatch(/Relay access denied/);
  });
});

test("who does not speak SMTP is told of, with what ended the session", async () => {
  const server = await opened("smtps");
  const client = await greeted(server);
  expect(await ask(client, "GET / HTTP/1.1")).toMatch(/^421 /);
  await closed(server);
  expect(texts(server)).toContain(
    "turned away after UNKNOWN from unknown[127.0.0.1]: 421 4.7.0 This is a mail server, not a web server",
  );
});
