/** The way down: who may finish what, and who is sent away when. */
import { setTimeout as pause } from "node:timers/promises";
import { describe, expect, test, vi } from "vitest";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { connect } from "./client.ts";
import { amidMessage, ask, connected, greeted, noBug, opened } from "./test-clients.ts";

describe("drain()", () => {
  test("takes no new clients and sends idle ones away at once", async () => {
    const server = await opened("submission");
    const client = await greeted(server, false);
    await server.listener.drain(Date.now() + 60_000);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    await expect(connect(server.port, false)).rejects.toThrow("ECONNREFUSED");
    expect(server.listener.sessions()).toBe(0);
  });

  test("lets a message that has begun come in, then says goodbye", async () => {
    const server = await opened("smtps");
    const client = await amidMessage(server);
    const gone = server.listener.drain(Date.now() + 60_000);
    expect(await ask(client, "\r\n.")).toMatch(/^250 2\.0\.0 Ok: queued as /);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    client.end();
    await gone;
    expect(server.stored.length).toBe(1);
  });

  test("cuts off what is not done at the deadline", async () => {
    const server = await opened("smtps");
    const client = await amidMessage(server);
    const gone = server.listener.drain(Date.now() + 50);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    client.end();
    await gone;
    expect(server.stored).toEqual([]);
    expect(server.openDrafts()).toBe(0);
    noBug(server);
  });

  test("never cuts off a message that is being promised", async () => {
    let promise: (() => void) | undefined;
    const server = await opened("smtps", {
      spool: {
        free: async () => ({ octets: 1e12, inodes: 1e6 }),
        inodesFor: () => 2,
        scratch: () => Promise.reject(new Error("there is no filter")),
        draft: async () => ({
          id: "AAAAAAAAAAAA",
          write: async () => undefined,
          accept: (given) =>
            new Promise<Envelope>((resolve) => {
              promise = () => resolve({ ...given, id: "AAAAAAAAAAAA", size: 1 });
            }),
          discard: async () => undefined,
        }),
      },
    });
    const client = await amidMessage(server);
    await client.send("\r\n.\r\n");
    await vi.waitFor(() => expect(promise).toBeDefined(), 60_000);
    const gone = server.listener.drain(0);
    await pause(20);
    promise?.();
    expect(await client.line()).toBe("250 2.0.0 Ok: queued as AAAAAAAAAAAA");
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    client.end();
    await gone;
  });

  test.each(["submission", "smtps"] as const)(
    "lets a handshake end, and says goodbye inside TLS: %s",
    async (name) => {
      const server = await opened(name);
      const client = await (name === "smtps" ? connected(server, false) : greeted(server, false));
      if (name === "submission") expect(await ask(client, "STARTTLS")).toMatch(/^220 /);
      await vi.waitFor(() => expect(server.listener.sessions()).toBe(1), 60_000);
      const gone = server.listener.drain(Date.now() + 60_000);
      await client.startTls();
      expect(await client.line()).toMatch(/^421 4\.3\.2 /);
      expect(await client.line()).toBeUndefined();
      client.end();
      await gone;
      expect(server.listener.sessions()).toBe(0);
      noBug(server);
    },
  );

  test("wastes no time on handshakes", async () => {
    for (const name of ["smtps", "submission"] as const) {
      const server = await opened(name);
      const silent = name === "smtps" ? await connected(server, false) : await greeted(server, false);
      if (name === "submission") await ask(silent, "STARTTLS");
      await vi.waitFor(() => expect(server.listener.sessions()).toBe(1), 60_000);
      const before = performance.now();
      await server.listener.drain(Date.now() + 60_000);
      expect(performance.now() - before).toBeLessThan(4_000); // the library gives a half-open socket 5 seconds
      expect(await silent.line()).toBeUndefined();
    }
  });
});
