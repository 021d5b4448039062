/** Messages by BDAT whose client goes away or is slow, and what the end of the server means to them. */
import { randomBytes } from "node:crypto";
import { describe, expect, test, vi } from "vitest";
import type { Client } from "./client.ts";
import { ask, greeted, loggedIn, noBug, opened, texts } from "./test-clients.ts";
import { type TestListener, testTimeouts } from "./test-listener.ts";

const header = "From: user1@example.org\r\n\r\n";

/** A session that has sent a first chunk. */
async function amidChunks(server: TestListener): Promise<Client> {
  const client = await loggedIn(server);
  await ask(client, "MAIL FROM:<user1@example.org>");
  await ask(client, "RCPT TO:<x@example.net>");
  await client.send(`BDAT ${header.length}\r\n${header}`);
  expect(await client.line()).toMatch(/^250 2\.0\.0 /);
  return client;
}

describe("a message in chunks", () => {
  test.each([
    ["between two chunks", "", header.length],
    ["amid a chunk", "BDAT 100\r\n1234567890", header.length + 10],
    ["amid the last chunk", "BDAT 100 LAST\r\n1234567890", header.length + 10],
  ])("leaves no draft behind when its client goes away %s", async (_, begun, octets) => {
    const server = await opened("smtps");
    const client = await amidChunks(server);
    expect(server.openDrafts()).toBe(1);
    await client.send(begun);
    client.end();
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    expect(server.openDrafts()).toBe(0);
    expect(server.stored).toEqual([]);
    expect(texts(server).join("\n")).toContain(
      `lost connection after BDAT (${octets} bytes) from unknown[127.0.0.1]`,
    );
    noBug(server);
  });

  test("of any octets and cut in any way arrives as it was, with commands behind it at once", async () => {
    const server = await opened("smtps");
    const lines = Array.from({ length: 900 }, () => randomBytes(40).toString("base64"));
    const body = `${lines.map((line, index) => (index % 3 === 0 ? `.${line}` : line)).join("\r\n")}\r\n`;
    const whole = Buffer.from(header + body);
    const client = await loggedIn(server);
    const pieces = ["MAIL FROM:<user1@example.org>\r\nRCPT TO:<x@example.net>\r\n"];
    for (let at = 0, length = 1; at < whole.length; at += length, length = (length * 7) % 4999) {
      const chunk = whole.subarray(at, at + length);
      pieces.push(`BDAT ${chunk.length}\r\n${chunk.toString()}`);
    }
    await client.send(`${pieces.join("")}BDAT 0 LAST\r\nNOOP\r\nQUIT\r\n`);
    const said: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) said.push(line);
    expect(said.slice(-3).map((line) => line.slice(0, 9))).toEqual(["250 2.0.0", "250 2.0.0", "221 2.0.0"]);
    expect(said.every((line) => /^2/.test(line))).toBe(true);
    expect(server.stored[0]?.text.endsWith(body)).toBe(true);
    noBug(server);
  });

  test.each([
    ["of the message, at less than the lowest rate,", amidChunks, 1e9],
    ["of a refused chunk, whatever time octets buy,", loggedIn, 0.001],
    ["of a stranger's", greeted, 0.001],
  ])("is given up where the octets %s trickle in", async (_, begin, rate) => {
    const timeouts = { ...testTimeouts, rate };
    const server = await opened("smtps", { timeouts });
    const client = await begin(server);
    timeouts.command = 50;
    await client.send("BDAT 10000\r\n");
    const trickle = setInterval(() => void client.send("x"), 5);
    try {
      expect(await client.line()).toBe("421 4.4.2 Timeout, closing the connection");
    } finally {
      clearInterval(trickle);
    }
    await vi.waitFor(() => expect(server.openDrafts()).toBe(0), 60_000);
    noBug(server);
  });

  test("may come in while the server is told to stop", async () => {
    const server = await opened("smtps");
    const client = await amidChunks(server);
    const gone = server.listener.drain(Date.now() + 60_000);
    expect(await ask(client, "BDAT 3\r\na")).toMatch(/^250 2\.0\.0 3 octets/);
    expect(await ask(client, "BDAT 2 LAST\r\n")).toMatch(/^250 2\.0\.0 Ok: queued as /);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    client.end();
    await gone;
    expect(server.stored.length).toBe(1);
  });

  test("is cut off where it is not done in time", async () => {
    const server = await opened("smtps");
    const client = await amidChunks(server);
    const gone = server.listener.drain(Date.now() + 50);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    client.end();
    await gone;
    expect(server.stored).toEqual([]);
    expect(server.openDrafts()).toBe(0);
    noBug(server);
  });
});
