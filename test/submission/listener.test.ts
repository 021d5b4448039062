/** What conversations cannot say: time passing, clients that vanish, certificates replaced, the way down. */
import { once } from "node:events";
import { createServer, type Socket } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { connect as connectTls } from "node:tls";
import { afterEach, describe, expect, test, vi } from "vitest";
import { Failure } from "../../src/failure.ts";
import { listen } from "../../src/server/submission/listener.ts";
import { selfSigned } from "../tools/certificate.ts";
import { type Client, connect } from "./client.ts";
import { type Door, openDoor, pair, submissionFor, testPatience } from "./door.ts";

let doors: Door[] = [];
let clients: Client[] = [];

afterEach(async () => {
  const open = doors;
  doors = [];
  for (const client of clients) client.destroy();
  clients = [];
  await Promise.all(open.map((door) => door.close()));
});

async function opened(...args: Parameters<typeof openDoor>): Promise<Door> {
  const door = await openDoor(...args);
  doors.push(door);
  return door;
}

async function connected(door: Door, secure = true): Promise<Client> {
  const client = await connect(door.port, secure);
  clients.push(client);
  return client;
}

/** Sends a command and gives the last line of its reply. */
async function ask(client: Client, command: string): Promise<string | undefined> {
  await client.send(`${command}\r\n`);
  return answer(client);
}

async function answer(client: Client): Promise<string | undefined> {
  let line = await client.line();
  while (line !== undefined && /^\d\d\d-/.test(line)) line = await client.line();
  return line;
}

async function greeted(door: Door, secure = true): Promise<Client> {
  const client = await connected(door, secure);
  expect(await client.line()).toMatch(/^220 /);
  expect(await ask(client, "EHLO client.example")).toMatch(/^250 /);
  return client;
}

async function loggedIn(door: Door): Promise<Client> {
  const client = await greeted(door);
  const response = Buffer.from("\0user1\0secret").toString("base64");
  expect(await ask(client, `AUTH PLAIN ${response}`)).toMatch(/^235 /);
  return client;
}

/** A session that has sent the beginning of a message. */
async function amidMessage(door: Door, begun = "From: user1@example.org\r\n\r\nhalf"): Promise<Client> {
  const client = await loggedIn(door);
  expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
  expect(await ask(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
  expect(await ask(client, "DATA")).toMatch(/^354 /);
  await client.send(begun);
  return client;
}

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

const texts = ({ log }: Door): readonly string[] => log.map(({ text }) => text);
const noBug = ({ log }: Door): void => expect(log.filter(({ event }) => event === "bug")).toEqual([]);

describe("listen()", () => {
  test("says in one line which address is taken and what to do", async () => {
    const taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const address = taken.address();
    const port = typeof address === "object" && address ? address.port : 0;
    const failed = listen("smtps", { host: "127.0.0.1", port }, pair, () => submissionFor());
    await expect(failed).rejects.toThrow(Failure);
    await expect(failed).rejects.toThrow(
      `cannot listen on 127.0.0.1:${port}: another program has this port; stop it, or choose another port in listen.submissions`,
    );
    taken.close();
  });

  test("greets at once", async () => {
    const door = await opened("submission");
    const waits: number[] = [];
    for (let count = 0; count < 12; count++) {
      const client = await connected(door, false);
      const before = performance.now();
      expect(await client.line()).toBe("220 relay.example.org ESMTP tpa-submit");
      waits.push(performance.now() - before);
    }
    expect(Math.min(...waits)).toBeLessThan(90); // the library alone waits 100 ms each time
  });
});

describe("TLS", () => {
  test("older than 1.2 is refused on both doors", async () => {
    const door = await opened("smtps");
    const old = { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" } as const;
    const socket = connectTls({ port: door.port, host: "127.0.0.1", rejectUnauthorized: false, ...old });
    await expect(once(socket, "secureConnect")).rejects.toThrow();
    await vi.waitFor(() =>
      expect(texts(door).join("\n")).toContain("SSL_accept error from unknown[127.0.0.1]"),
    );
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(0));

    const other = await opened("submission");
    const client = await greeted(other, false);
    expect(await ask(client, "STARTTLS")).toMatch(/^220 /);
    await expect(client.startTls(old)).rejects.toThrow();
    await vi.waitFor(() =>
      expect(texts(other).join("\n")).toContain("SSL_accept error from unknown[127.0.0.1]"),
    );
    await vi.waitFor(() => expect(other.listener.sessions()).toBe(0));
    noBug(other);
  });

  test("what a client sends behind STARTTLS in the clear is dropped (RFC 3207 section 6)", async () => {
    const door = await opened("submission");
    const client = await greeted(door, false);
    expect(await ask(client, `STARTTLS\r\n${"NOOP\r\n".repeat(300)}EHLO injected.example`)).toMatch(/^220 /);
    await client.startTls();
    expect(await ask(client, "AUTH PLAIN AHVzZXIxAHNlY3JldA==")).toBe("503 5.5.1 Send EHLO first");
    noBug(door);
  });

  test("garbage in place of a handshake ends that connection and no other", async () => {
    const door = await opened("smtps");
    const client = await connect(door.port, true);
    clients.push(client);
    const plain = await connect(door.port, false);
    clients.push(plain);
    await plain.send("EHLO in.the.clear\r\n");
    expect(await plain.line()).toBeUndefined();
    expect(await client.line()).toMatch(/^220 /);
    const half = await opened("submission");
    const starting = await greeted(half, false);
    await ask(starting, "STARTTLS");
    await starting.send("this is no handshake\r\n");
    while ((await starting.line()) !== undefined);
    await vi.waitFor(() => expect(half.listener.sessions()).toBe(0));
    noBug(half);
  });

  test("a new certificate serves those who come later, a bad one changes nothing", async () => {
    const door = await opened("smtps");
    const next = selfSigned(["new.example.org"]);
    const peerOf = async (): Promise<string | undefined> => {
      const socket = (await connected(door)).socket();
      return "getPeerCertificate" in socket ? socket.getPeerCertificate().subjectaltname : undefined;
    };
    expect(await peerOf()).toContain("relay.example.org");
    expect(() => door.listener.replaceCertificate({ key: "no key", cert: "no certificate" })).toThrow();
    expect(() => door.listener.replaceCertificate({ key: pair.key, cert: next.cert })).toThrow();
    expect(await peerOf()).toContain("relay.example.org");
    door.listener.replaceCertificate(next);
    expect(await peerOf()).toContain("new.example.org");
  });

  test("a new certificate serves STARTTLS as well", async () => {
    const door = await opened("submission");
    const client = await greeted(door, false);
    door.listener.replaceCertificate(selfSigned(["new.example.org"]));
    await ask(client, "STARTTLS");
    await client.startTls();
    const socket = client.socket();
    expect("getPeerCertificate" in socket && socket.getPeerCertificate().subjectaltname).toContain(
      "new.example.org",
    );
  });
});

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

describe("a hostile client", () => {
  test("gets no more connections than one address may have", async () => {
    const door = await opened("submission", { connectionsPerAddress: 2 });
    const [first] = [await greeted(door, false), await greeted(door, false)];
    const third = await connected(door, false);
    expect(await third.line()).toMatch(/^421 4\.7\.0 Too many connections/);
    expect(await third.line()).toBeUndefined();
    expect(texts(door)).toContain(
      "Connection concurrency limit exceeded: 3 from unknown[127.0.0.1] for service submission",
    );
    await ask(first, "QUIT");
    await vi.waitFor(() => expect(door.listener.sessions()).toBe(1));
    await greeted(door, false);
  });

  test("is sent away after twenty errors, a message makes up for them", async () => {
    const door = await opened("smtps");
    const client = await loggedIn(door);
    for (let count = 1; count < 20; count++) expect(await ask(client, "FROB")).toMatch(/^500 5\.5\.2 /);
    expect(await ask(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
    expect(await ask(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
    expect(await ask(client, "DATA")).toMatch(/^354 /);
    expect(await ask(client, "From: user1@example.org\r\n\r\n.")).toMatch(/^250 /);
    for (let count = 1; count < 20; count++) expect(await ask(client, "FROB")).toMatch(/^500 5\.5\.2 /);
    expect(await ask(client, "FROB")).toBe("421 4.7.0 Too many errors");
    expect(await client.line()).toBeUndefined();
    expect(texts(door)).toContain("too many errors after UNKNOWN from unknown[127.0.0.1]");
  });

  test("may ask for many recipients too many without being sent away", async () => {
    const door = await opened("smtps", { recipients: 1 });
    const client = await loggedIn(door);
    await ask(client, "MAIL FROM:<user1@example.org>");
    for (let count = 0; count < 60; count++) await client.send(`RCPT TO:<x${count}@example.net>\r\n`);
    expect(await client.line()).toMatch(/^250 /);
    for (let count = 1; count < 60; count++) expect(await client.line()).toMatch(/^452 4\.5\.3 /);
    expect(texts(door).filter((text) => text.includes("reject: RCPT")).length).toBeLessThanOrEqual(1);
  });

  test("with a line that has no end is sent away", async () => {
    const door = await opened("submission");
    const client = await greeted(door, false);
    for (let count = 0; count < 12; count++) await client.send("x".repeat(10_000));
    expect(await client.line()).toBe("421 4.7.0 This line has no end");
  });

  test("that sends far more than it may is cut off", async () => {
    const door = await opened("smtps", { messageSize: 1_000 });
    const client = await amidMessage(door);
    const piece = Buffer.alloc(1_048_576, "x");
    const sending = (async () => {
      for (let count = 0; count < 24; count++) await client.send(piece);
    })();
    expect(await client.line()).toMatch(/^552 5\.3\.4 /);
    expect(await client.line()).toBeUndefined();
    client.destroy();
    await sending;
    expect(door.openDrafts()).toBe(0);
    noBug(door);
  });

  test("with a header that never ends is refused", async () => {
    const door = await opened("smtps", { messageSize: 50_000_000 });
    const client = await amidMessage(door, "From: user1@example.org\r\n");
    const field = `X: ${"x".repeat(900)}\r\n`;
    await client.send(field.repeat(1_300));
    expect(await ask(client, "\r\nbody\r\n.")).toMatch(/^552 5\.3\.4 The header is too large/);
    expect(door.stored).toEqual([]);
  });

  test("with a hundred Received fields is told of the loop (RFC 5321 section 6.3)", async () => {
    const door = await opened("smtps");
    const client = await amidMessage(door, "From: user1@example.org\r\n");
    await client.send("Received: from a by b; Sun, 22 Nov 2026 13:02:46 +0000\r\n".repeat(100));
    expect(await ask(client, "\r\nbody\r\n.")).toMatch(/^554 5\.4\.6 /);
  });
});

describe("drain()", () => {
  test("takes no new clients and sends idle ones away at once", async () => {
    const door = await opened("submission");
    const client = await greeted(door, false);
    await door.listener.drain(Date.now() + 60_000);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    await expect(connect(door.port, false)).rejects.toThrow("ECONNREFUSED");
    expect(door.listener.sessions()).toBe(0);
  });

  test("lets a message that has begun come in, then says goodbye", async () => {
    const door = await opened("smtps");
    const client = await amidMessage(door);
    const gone = door.listener.drain(Date.now() + 60_000);
    expect(await ask(client, "\r\n.")).toMatch(/^250 2\.0\.0 Ok: queued as /);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    client.end();
    await gone;
    expect(door.stored.length).toBe(1);
  });

  test("cuts off what is not done at the deadline", async () => {
    const door = await opened("smtps");
    const client = await amidMessage(door);
    const gone = door.listener.drain(Date.now() + 50);
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    expect(await client.line()).toBeUndefined();
    client.end();
    await gone;
    expect(door.stored).toEqual([]);
    expect(door.openDrafts()).toBe(0);
    noBug(door);
  });

  test("never cuts off a message that is being promised", async () => {
    let promise: (() => void) | undefined;
    const door = await opened("smtps", {
      spool: {
        free: async () => ({ octets: 1e12, inodes: 1e6 }),
        draft: async () => ({
          id: "AAAAAAAAAAAA",
          write: async () => undefined,
          accept: (given) =>
            new Promise((resolve) => {
              promise = () => resolve({ ...given, id: "AAAAAAAAAAAA", size: 1 });
            }),
          discard: async () => undefined,
        }),
      },
    });
    const client = await amidMessage(door);
    await client.send("\r\n.\r\n");
    await vi.waitFor(() => expect(promise).toBeDefined());
    const gone = door.listener.drain(0);
    await pause(20);
    promise?.();
    expect(await client.line()).toBe("250 2.0.0 Ok: queued as AAAAAAAAAAAA");
    expect(await client.line()).toMatch(/^421 4\.3\.2 /);
    client.end();
    await gone;
  });

  test("wastes no time on handshakes", async () => {
    for (const name of ["smtps", "submission"] as const) {
      const door = await opened(name);
      const silent = name === "smtps" ? await connected(door, false) : await greeted(door, false);
      if (name === "submission") await ask(silent, "STARTTLS");
      await vi.waitFor(() => expect(door.listener.sessions()).toBe(1));
      const before = performance.now();
      await door.listener.drain(Date.now() + 60_000);
      expect(performance.now() - before).toBeLessThan(4_000); // the library gives a half-open socket 5 seconds
      expect(await silent.line()).toBeUndefined();
    }
  });
});

test("a fault of ours costs one client its connection and is logged with its stack", async () => {
  const door = await opened("smtps", {
    verify: () => Promise.reject(new TypeError("as the test wants it")),
  });
  const client = await greeted(door);
  expect(await ask(client, "AUTH PLAIN AHVzZXIxAHNlY3JldA==")).toBe(
    "421 4.3.0 Internal error, sorry; it has been noted",
  );
  expect(texts(door).join("\n")).toMatch(/bug in submission session: TypeError: as the test wants it \| at /);
  await greeted(door);
});
