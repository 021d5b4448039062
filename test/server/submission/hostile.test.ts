/** Clients that mean harm. */
import { describe, expect, test, vi } from "vitest";
import { turnedAway } from "../../../src/server/submission/client-limits.ts";
import { newConnectionTable } from "../../../src/server/submission/limits/admission.ts";
import { amidMessage, ask, connected, greeted, loggedIn, noBug, opened, texts } from "./test-clients.ts";

describe("a hostile client", () => {
  test("gets no more connections than one address may have", async () => {
    const server = await opened("submission", { connectionsPerAddress: 2 });
    const [first] = [await greeted(server, false), await greeted(server, false)];
    const third = await connected(server, false);
    expect(await third.line()).toMatch(/^421 4\.7\.0 Too many connections/);
    expect(await third.line()).toBeUndefined();
    expect(texts(server)).toContain(
      "Connection concurrency limit exceeded: 3 from unknown[127.0.0.1] for service submission",
    );
    await ask(first, "QUIT");
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(1), 60_000);
    await greeted(server, false);
  });

  test("finds no room where people who are logged in use all connections, at whichever listener", async () => {
    const rules = { connections: 2, connectionTable: newConnectionTable() };
    const [server, inTls] = [await opened("submission", rules), await opened("smtps", rules)];
    const first = await loggedIn(inTls);
    await loggedIn(inTls);
    for (const full of [await connected(server, false), await connected(inTls)]) {
      expect(await full.line()).toBe("421 4.3.2 Too many connections, please try again in a few minutes");
      expect(await full.line()).toBeUndefined();
    }
    expect(texts(inTls)).toContain("all 2 connections are in use, turned away: unknown[127.0.0.1]");
    await ask(first, "QUIT");
    await vi.waitFor(() => expect(inTls.listener.sessions() + server.listener.sessions()).toBe(1), 60_000);
    await greeted(server, false);
  });

  test("with far more connections than there may be is not even told so", async () => {
    const server = await opened("smtps", { connections: 1 });
    await loggedIn(server);
    const idle = await Promise.all(Array.from({ length: turnedAway }, () => connected(server, false)));
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(1 + idle.length), 60_000);
    const last = await connected(server, false);
    expect(await last.line()).toBeUndefined();
    expect(server.listener.sessions()).toBe(1 + idle.length);
    noBug(server);
  });

  test("is sent away after twenty errors, a message makes up for them", async () => {
    const server = await opened("smtps");
    const client = await loggedIn(server);
    for (let count = 1; count < 20; count++) expect(await ask(client, "FROB")).toMatch(/^500 5\.5\.2 /);
    expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
    expect(await ask(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
    expect(await ask(client, "DATA")).toMatch(/^354 /);
    expect(await ask(client, "From: user1@example.org\r\n\r\n.")).toMatch(/^250 /);
    for (let count = 1; count < 20; count++) expect(await ask(client, "FROB")).toMatch(/^500 5\.5\.2 /);
    expect(await ask(client, "FROB")).toBe("421 4.7.0 Too many errors");
    expect(await client.line()).toBeUndefined();
    expect(texts(server)).toContain("too many errors after UNKNOWN from unknown[127.0.0.1]");
  });

  test("may ask for many recipients too many without being sent away", async () => {
    const server = await opened("smtps", { recipients: 1 });
    const client = await loggedIn(server);
    await ask(client, "MAIL FROM:<user1@example.org>");
    for (let count = 0; count < 60; count++) await client.send(`RCPT TO:<x${count}@example.net>\r\n`);
    expect(await client.line()).toMatch(/^250 /);
    for (let count = 1; count < 60; count++) expect(await client.line()).toMatch(/^452 4\.5\.3 /);
    expect(texts(server).filter((text) => text.includes("reject: RCPT")).length).toBeLessThanOrEqual(1);
  });

  test("with a line that has no end is sent away", async () => {
    const server = await opened("submission");
    const client = await greeted(server, false);
    for (let count = 0; count < 12; count++) await client.send("x".repeat(10_000));
    expect(await client.line()).toBe("421 4.7.0 This line has no end");
  });

  test("that sends far more than it may is cut off", async () => {
    const server = await opened("smtps", { messageSize: 1_000 });
    const client = await amidMessage(server);
    const piece = Buffer.alloc(1_048_576, "x");
    const sending = (async () => {
      for (let count = 0; count < 24; count++) await client.send(piece);
    })();
    expect(await client.line()).toMatch(/^552 5\.3\.4 /);
    expect(await client.line()).toBeUndefined();
    client.destroy();
    await sending;
    expect(server.openDrafts()).toBe(0);
    noBug(server);
  });

  test("with a header that never ends is refused", async () => {
    const server = await opened("smtps", { messageSize: 50_000_000 });
    const client = await amidMessage(server, "From: user1@example.org\r\n");
    const field = `X: ${"x".repeat(900)}\r\n`;
    await client.send(field.repeat(1_300));
    expect(await ask(client, "\r\nbody\r\n.")).toMatch(/^552 5\.3\.4 The header is too large/);
    expect(server.stored).toEqual([]);
  });

  test("with a hundred Received fields is told of the loop (RFC 5321 section 6.3)", async () => {
    const server = await opened("smtps");
    const client = await amidMessage(server, "From: user1@example.org\r\n");
    await client.send("Received: from a by b; Sun, 22 Nov 2026 13:02:46 +0000\r\n".repeat(100));
    expect(await ask(client, "\r\nbody\r\n.")).toMatch(/^554 5\.4\.6 /);
  });
});
