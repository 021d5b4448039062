/** Clients that go away, and clients that are too slow. */

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import type { Draft } from "../../../src/server/spool/spool.ts";
import type { Client } from "./client.ts";
import { amidMessage, ask, connected, greeted, loggedIn, noBug, opened, texts } from "./test-clients.ts";
import { testTimeouts } from "./test-listener.ts";

/** The first octets of a real handshake. */
async function clientHello(): Promise<Buffer> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  const port = typeof address === "object" && address ? address.port : 0;
  const client = connectTls({ port, host: "127.0.0.1" }).on("error", () => undefined);
  const [socket] = (await once(server, "connection")) as [Socket];
  const [hello] = (await once(socket, "data")) as [Buffer];
  client.destroy();
  socket.destroy();
  server.close();
  return hello;
}

describe("a client that shuts its side down when it has sent all", () => {
  const message = "From: user1@example.org\r\n\r\nhello\r\n.\r\n";
  const envelope = "MAIL FROM:<user1@example.org>\r\nRCPT TO:<x@example.net>\r\n";

  async function hearAll(client: Client): Promise<readonly string[]> {
    const lines: string[] = [];
    for (let line = await client.line(); line !== undefined; line = await client.line()) lines.push(line);
    return lines;
  }

  test.each([
    ["by DATA", `${envelope}DATA\r\n${message}`],
    ["by BDAT", `${envelope}BDAT ${message.length - 3} LAST\r\n${message.slice(0, -3)}`],
    ["by DATA, and QUIT", `${envelope}DATA\r\n${message}QUIT\r\n`],
  ])("hears that its message was accepted (%s)", async (_, words) => {
    const server = await opened("smtps");
    const client = await loggedIn(server);
    await client.send(words);
    client.end();
    expect((await hearAll(client)).join("\n")).toMatch(/^250 2\.0\.0 .*queued/m);
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    expect(server.stored).toHaveLength(1);
    noBug(server);
  });

  test("hears its answers outside TLS as well, and nothing lingers", async () => {
    const server = await opened("submission");
    const client = await greeted(server, false);
    await client.send("NOOP\r\nRSET\r\nMAIL FROM:<user1@exam");
    client.end();
    expect(await hearAll(client)).toEqual(["250 2.0.0 Ok", "250 2.0.0 Ok"]);
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    expect(texts(server).join("\n")).toMatch(/lost connection after RSET from/);
    noBug(server);
  });

  test("is not heard before it was greeted", async () => {
    const server = await opened("submission");
    const client = await connected(server, false);
    await client.send("EHLO client.example\r\nQUIT\r\n");
    client.end();
    expect((await hearAll(client))[0]).toMatch(/^521 5\.5\.1 /);
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    noBug(server);
  });

  test("amid a message has sent none", async () => {
    const server = await opened("smtps");
    const client = await amidMessage(server);
    client.end();
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    await vi.waitFor(() => expect(server.openDrafts()).toBe(0), 60_000);
    expect(server.stored).toEqual([]);
    noBug(server);
  });

  test.each(["smtps", "submission"] as const)("amid a handshake is gone (%s)", async (kind) => {
    const server = await opened(kind);
    const client = kind === "smtps" ? await connected(server, false) : await greeted(server, false);
    if (kind === "submission") await ask(client, "STARTTLS");
    await client.send((await clientHello()).subarray(0, 20));
    client.end();
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    noBug(server);
  });
});

describe("a client that goes away", () => {
  test("amid a message leaves no draft behind", async () => {
    const server = await opened("smtps");
    const client = await amidMessage(server);
    expect(server.openDrafts()).toBe(1);
    client.destroy();
    await vi.waitFor(() => expect(server.openDrafts()).toBe(0), 60_000);
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    expect(server.stored).toEqual([]);
    expect(texts(server).join("\n")).toMatch(
      /lost connection after DATA \(\d+ bytes\) from unknown\[127\.0\.0\.1\]/,
    );
    noBug(server);
  });

  test("amid a message after it was refused leaves no draft either", async () => {
    const server = await opened("smtps");
    const client = await amidMessage(server, "From: user1@example.org\r\n\r\nbare\nlf");
    client.destroy();
    await vi.waitFor(() => expect(server.openDrafts()).toBe(0), 60_000);
    noBug(server);
  });

  test("while its draft is made leaves none behind", async () => {
    let make: (() => void) | undefined;
    let discarded = 0;
    const draft: Draft = {
      id: "AAAAAAAAAAAA",
      write: async () => undefined,
      accept: () => Promise.reject<Envelope>(new Error("nothing was sent")),
      discard: async () => void discarded++,
    };
    const server = await opened("smtps", {
      spool: {
        free: async () => ({ octets: 1e12, inodes: 1e6 }),
        inodesFor: () => 2,
        scratch: () => Promise.reject(new Error("there is no filter")),
        draft: () =>
          new Promise((resolve) => {
            make = () => resolve(draft);
          }),
      },
    });
    const client = await loggedIn(server);
    await client.send("MAIL FROM:<user1@example.org>\r\nRCPT TO:<x@example.net>\r\nDATA\r\n");
    await vi.waitFor(() => expect(make).toBeDefined(), 60_000);
    client.destroy();
    make?.();
    await vi.waitFor(() => expect(discarded).toBe(1), 60_000);
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    noBug(server);
  });

  test("while its password is checked disturbs nobody", async () => {
    let finish: (() => void) | undefined;
    const server = await opened("smtps", {
      verify: () =>
        new Promise((resolve) => {
          finish = () => resolve({ kind: "accepted", login: "user1" });
        }),
    });
    const client = await greeted(server);
    await client.send("AUTH PLAIN AHVzZXIxAHNlY3JldA==\r\nMAIL FROM:<user1@example.org>\r\n");
    await vi.waitFor(() => expect(finish).toBeDefined(), 60_000);
    client.destroy();
    finish?.();
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    noBug(server);
  });

  test("with a reset, at any point, is a line in the log", async () => {
    const server = await opened("submission");
    const [fresh, waiting] = [await connected(server, false), await greeted(server, false)];
    await ask(waiting, "STARTTLS");
    for (const client of [fresh, waiting]) {
      const socket = client.socket();
      if ("resetAndDestroy" in socket) socket.resetAndDestroy();
    }
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    expect(texts(server)).toContain("lost connection after CONNECT from unknown[127.0.0.1]");
    noBug(server);
  });
});

describe("a client that is slow", () => {
  /** A clock that a test can put forward, so that only what must be late is. */
  function clock(): { now: () => number; forward: (milliseconds: number) => void } {
    let ahead = 0;
    return { now: () => Date.now() + ahead, forward: (milliseconds) => (ahead += milliseconds) };
  }

  test("to log in is sent away, however busy it keeps itself", async () => {
    const { now, forward } = clock();
    const server = await opened("smtps", { now });
    const client = await greeted(server);
    forward(testTimeouts.login / 2);
    expect(await ask(client, "NOOP")).toMatch(/^250 /);
    forward(testTimeouts.login / 2);
    expect(await ask(client, "NOOP")).toMatch(/^250 /);
    expect(await client.line()).toBe("421 4.4.2 Timeout, closing the connection");
    expect(texts(server)).toContain("timeout after NOOP from unknown[127.0.0.1]");
  });

  test("in the handshake is sent away, on both listeners", async () => {
    const secure = await opened("smtps", { timeouts: { ...testTimeouts, login: 50 } });
    const silent = await connected(secure, false);
    expect(await silent.line()).toBeUndefined();
    await vi.waitFor(() => expect(secure.listener.sessions()).toBe(0), 60_000);

    const { now, forward } = clock();
    const server = await opened("submission", { now });
    const client = await greeted(server, false);
    forward(testTimeouts.login - 50);
    await ask(client, "STARTTLS");
    expect(await client.line()).toBeUndefined();
    await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
    noBug(server);
  });

  test("amid the handshake is sent away as well", async () => {
    const hello = await clientHello();
    for (const octets of [hello.length - 5, hello.length]) {
      const { now, forward } = clock();
      const server = await opened("submission", { now });
      const client = await greeted(server, false);
      forward(testTimeouts.login - 200);
      await ask(client, "STARTTLS");
      await client.send(hello.subarray(0, octets)); // where it is whole the server answers, and waits in vain
      while ((await client.line()) !== undefined);
      await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
      noBug(server);
    }
  });

  test("with a command whose octets trickle in is sent away", async () => {
    const timeouts = { ...testTimeouts };
    const server = await opened("smtps", { timeouts });
    const client = await loggedIn(server);
    timeouts.command = 100;
    expect(await ask(client, "NOOP")).toMatch(/^250 /);
    expect(await trickled(client)).toBe("421 4.4.2 Timeout, closing the connection");
  });

  test("with a message is sent away, and nothing is stored", async () => {
    const timeouts = { ...testTimeouts, rate: 1_000_000 };
    const server = await opened("smtps", { timeouts });
    const client = await loggedIn(server);
    expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
    expect(await ask(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
    timeouts.command = 100;
    expect(await ask(client, "DATA")).toMatch(/^354 /);
    expect(await trickled(client)).toBe("421 4.4.2 Timeout, closing the connection");
    await vi.waitFor(() => expect(server.openDrafts()).toBe(0), 60_000);
    expect(server.stored).toEqual([]);
    noBug(server);
  });

  /** What the server says to one octet now and then. */
  async function trickled(client: Client): Promise<string | undefined> {
    const trickle = setInterval(() => void client.send("x"), 10);
    try {
      return await client.line();
    } finally {
      clearInterval(trickle);
    }
  }
});
