/** A listener opened, and a message through it into the real spool. */
import dns from "node:dns";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { buffer } from "node:stream/consumers";
import { describe, expect, test, vi } from "vitest";
import { Failure } from "../../../src/failure.ts";
import { logTo } from "../../../src/server/log/log.ts";
import { openSpool } from "../../../src/server/spool/spool.ts";
import { listen } from "../../../src/server/submission/listener.ts";
import { connect } from "./client.ts";
import { amidMessage, ask, connected, greeted, opened, texts } from "./test-clients.ts";
import { pair, testContext, testTimeouts } from "./test-listener.ts";

describe("listen()", () => {
  test("says in one line which address is taken and what to do", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const failed = listen("smtps", { host: "127.0.0.1", port }, pair, () => testContext());
    await expect(failed).rejects.toThrow(Failure);
    await expect(failed).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: another program has this port; stop it, or choose another port in listen.submissions`,
    );
    taken.close();
  });

  test("greets at once", async () => {
    const server = await opened("submission");
    const waits: number[] = [];
    for (let count = 0; count < 12; count++) {
      const client = await connected(server, false);
      const before = performance.now();
      expect(await client.line()).toBe("220 relay.example.org ESMTP tpa-submit");
      waits.push(performance.now() - before);
    }
    expect(Math.min(...waits)).toBeLessThan(90); // the library alone waits 100 ms each time
  });

  test("asks no name server for the client's name, before the greeting or later", async () => {
    const asked = [vi.spyOn(dns, "reverse"), vi.spyOn(dns.promises, "reverse"), vi.spyOn(dns, "lookup")];
    try {
      for (const name of ["submission", "smtps"] as const) {
        const server = await opened(name);
        const client = await greeted(server, name === "smtps");
        await ask(client, "QUIT");
        await vi.waitFor(() => expect(server.listener.sessions()).toBe(0), 60_000);
      }
      const [reverse, promised, lookup] = asked.map(({ mock }) => mock.calls);
      expect([reverse, promised, lookup?.filter(([host]) => host !== "127.0.0.1")]).toEqual([[], [], []]);
    } finally {
      vi.restoreAllMocks();
    }
  });
});

test("a fault of ours costs one client its connection and is logged with its stack", async () => {
  const server = await opened("smtps", {
    verify: () => Promise.reject(new TypeError("as the test wants it")),
  });
  const client = await greeted(server);
  expect(await ask(client, "AUTH PLAIN AHVzZXIxAHNlY3JldA==")).toBe(
    "421 4.3.0 Internal error, sorry; it has been noted",
  );
  expect(texts(server).join("\n")).toMatch(
    /bug in submission session: TypeError: as the test wants it \| at /,
  );
  await greeted(server);
});

test.each(["connect", "tls-inbound", "disconnect", "timeout", "connection-lost"])(
  "a fault of ours in what an event leads to (%s) costs nobody else anything",
  async (faulty) => {
    const timeouts = { ...testTimeouts };
    const server = await opened("smtps", { timeouts });
    const bystander = await greeted(server);
    const bugs: string[] = [];
    logTo(({ event, text }) => {
      if (event === faulty) throw new TypeError("as the test wants it");
      if (event === "bug") bugs.push(text);
    });
    timeouts.command = 50;
    const client = await connect(server.port, true).catch(() => undefined);
    while ((await client?.line()) !== undefined);
    client?.destroy();
    timeouts.command = testTimeouts.command;
    const other = await connect(server.port, true).catch(() => undefined);
    await other?.line();
    other?.destroy();
    await vi.waitFor(() => expect(bugs.join("\n")).toContain("as the test wants it"), 60_000);
    expect(await ask(bystander, "NOOP")).toMatch(/^250 /);
  },
);

test("a message stands in the real spool as it was sent, below our fields", async () => {
  const folder = await mkdtemp(join(tmpdir(), "tpa-submit-spool-"));
  const spool = await openSpool(join(folder, "spool"), Date.now);
  const woken: string[] = [];
  const server = await opened("smtps", {
    messageSize: 1_000_000,
    spool,
    accepted: ({ id }) => woken.push(id),
  });
  const message = `From: user1@example.org\r\nSubject: hi\r\n\r\n${"öctets\r\n".repeat(20_000)}`;
  const client = await amidMessage(server, message);
  const said = await ask(client, ".");
  const [id = ""] = await spool.ids();
  expect(said).toBe(`250 2.0.0 Ok: queued as ${id}`);
  expect(woken).toEqual([id]);
  const body = await buffer(spool.body(id));
  const fields =
    /^Received: (?:.*\r\n){3}Date: .*\r\nMessage-ID: .*\r\n/.exec(body.toString("utf8"))?.[0] ?? "";
  expect(body.toString("utf8")).toBe(`${fields}${message}`);
  expect(await spool.read(id)).toMatchObject({
    login: "user1",
    sender: "user1@example.org",
    size: body.length,
    eightBit: true,
    recipients: [{ address: "x@example.net", state: "waiting" }],
  });
  await server.close();
  await spool.close();
  await rm(folder, { recursive: true });
});
