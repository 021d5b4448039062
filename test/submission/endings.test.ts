/** Clients that go away, and clients that are too slow. */

import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { describe, expect, test, vi } from "vitest";
import { testPatience } from "./door.ts";
import { amidMessage, ask, connected, greeted, loggedIn, noBug, opened, texts } from "./knocking.ts";

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

describe("a client that goes away", () => {
  test("amid a message leaves no draft behind", async () => {
    const door = await opened("smtps");
    const client = await amidMessage(door);
    expect(door.openDrafts()).toBe(1);
    client.destroy();
    await vi.waitFor(() => expect(door.openDrafts()).toBe(0));
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));
    expect(door.stored).toEqual([]);
    expect(texts(door).join("\n")).toMatch(
      /lost connection after DATA \(\d+ bytes\) from unknown\[127\.0\.0\.1\]/,
    );
    noBug(door);
  });

  test("amid a message after it was refused leaves no draft either", async () => {
    const door = await opened("smtps");
    const client = await amidMessage(door, "From: user1@example.org\r\n\r\nbare\nlf");
    client.destroy();
    await vi.waitFor(() => expect(door.openDrafts()).toBe(0));
    noBug(door);
  });

  test("while its password is checked disturbs nobody", async () => {
    let finish: () => void = () => undefined;
    const door = await opened("smtps", {
      verify: () =>
        new Promise((resolve) => {
          finish = () => resolve({ kind: "accepted", login: "user1" });
        }),
    });
    const client = await greeted(door);
    await client.send("AUTH PLAIN AHVzZXIxAHNlY3JldA==\r\nMAIL FROM:<user1@example.org>\r\n");
    await vi.waitFor(() => finish());
    client.destroy();
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));
    finish();
    await pause(5);
    noBug(door);
  });

  test("with a reset, at any point, is a line in the log", async () => {
    const door = await opened("submission");
    const [fresh, waiting] = [await connected(door, false), await greeted(door, false)];
    await ask(waiting, "STARTTLS");
    for (const client of [fresh, waiting]) {
      const socket = client.socket();
      if ("resetAndDestroy" in socket) socket.resetAndDestroy();
    }
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));
    expect(texts(door)).toContain("lost connection after CONNECT from unknown[127.0.0.1]");
    noBug(door);
  });
});

describe("a client that is slow", () => {
  test("to log in is sent away, however busy it keeps itself", async () => {
    const door = await opened("smtps", { patience: { ...testPatience, login: 150 } });
    const client = await greeted(door);
    const busy = setInterval(() => void client.send("NOOP\r\n"), 10);
    let line = await client.line();
    while (line?.startsWith("250")) line = await client.line();
    clearInterval(busy);
    expect(line).toBe("421 4.4.2 Timeout, closing the connection");
    expect(texts(door)).toContain("timeout after NOOP from unknown[127.0.0.1]");
  });

  test("in the handshake is sent away, on both doors", async () => {
    const patience = { ...testPatience, login: 100 };
    const secure = await opened("smtps", { patience });
    const silent = await connected(secure, false);
    expect(await silent.line()).toBeUndefined();
    await vi.waitFor(() => expect(secure.listener.sessions()).toBe(0));

    const door = await opened("submission", { patience });
    const client = await greeted(door, false);
    await ask(client, "STARTTLS");
    expect(await client.line()).toBeUndefined();
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));
    noBug(door);
  });

  test("amid the handshake is sent away as well", async () => {
    const hello = await clientHello();
    const door = await opened("submission", { patience: { ...testPatience, login: 100 } });
    const client = await greeted(door, false);
    await ask(client, "STARTTLS");
    await client.send(hello.subarray(0, hello.length - 5));
    expect(await client.line()).toBeUndefined();
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));
    const other = await greeted(door, false);
    await ask(other, "STARTTLS");
    await other.send(hello); // answered, and then nothing comes
    while ((await other.line()) !== undefined);
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));
    noBug(door);
  });

  test("with a command whose octets trickle in is sent away", async () => {
    const door = await opened("smtps", { patience: { ...testPatience, command: 150 } });
    const client = await loggedIn(door);
    const trickle = setInterval(() => void client.send("x"), 10);
    const line = await client.line();
    clearInterval(trickle);
    expect(line).toBe("421 4.4.2 Timeout, closing the connection");
  });

  test("with a message is sent away, and nothing is stored", async () => {
    const door = await opened("smtps", { patience: { ...testPatience, command: 150, rate: 1_000_000 } });
    const client = await amidMessage(door);
    const trickle = setInterval(() => void client.send("x"), 10);
    const line = await client.line();
    clearInterval(trickle);
    expect(line).toBe("421 4.4.2 Timeout, closing the connection");
    await vi.waitFor(() => expect(door.openDrafts()).toBe(0), 8_000);
    expect(door.stored).toEqual([]);
    noBug(door);
  });
});
