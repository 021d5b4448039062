/** Limits that several sessions share: wrong passwords, and what a login may send. */
import { createHmac } from "node:crypto";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { startVerifier } from "../../../../src/passwd/verifier.ts";
import { newAuthRateLimiter } from "../../../../src/server/submission/limits/auth-rate-limiter.ts";
import { type Client, connect } from "../client.ts";
import { openTestListener, quotaOf, type TestListener } from "../test-listener.ts";

let server: TestListener;
const clients: Client[] = [];

async function open(changes: Parameters<typeof openTestListener>[1] = {}): Promise<void> {
  server = await openTestListener("smtps", changes);
}

beforeEach(() => {
  clients.length = 0;
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  await server.close();
});

/** A session as far as EHLO. */
async function greet(): Promise<Client> {
  const client = await connect(server.port, true);
  clients.push(client);
  await client.line();
  await say(client, "EHLO client.example");
  return client;
}

/** Says a line; gives the last line of the reply. */
async function say(client: Client, line: string): Promise<string> {
  await client.send(`${line}\r\n`);
  for (;;) {
    const said = await client.line();
    if (said === undefined || !/^\d{3}-/.test(said)) return said ?? "";
  }
}

const plain = (login: string, password: string): string =>
  `AUTH PLAIN ${Buffer.from(`\0${login}\0${password}`).toString("base64")}`;

/** AUTH CRAM-MD5 with the response to whatever the challenge is; gives the answer to that. */
async function cramMd5(client: Client, login: string, password: string): Promise<string> {
  const challenge = Buffer.from((await say(client, "AUTH CRAM-MD5")).slice(4), "base64");
  const digest = createHmac("md5", password).update(challenge).digest("hex");
  return say(client, Buffer.from(`${login} ${digest}`).toString("base64"));
}

describe("wrong passwords", () => {
  test("are no longer looked at after ten, however the login is written, and it says when again", async () => {
    await open();
    const spellings = ["user1", "USER1", "user1@example.org"];
    for (let session = 0; session < 3; session++) {
      const client = await greet();
      for (const [index, login] of spellings.entries()) {
        expect(await say(client, plain(login, `guess ${session} ${index}`))).toMatch(/^535 /);
      }
    }
    const client = await greet();
    expect(await say(client, plain("user1", "guess"))).toMatch(/^535 /);
    expect(await say(client, plain("user1", "secret"))).toMatch(
      /^454 4\.7\.0 Too many wrong passwords from your network; try again in (a minute|2 minutes), at \d\d:\d\d UTC$/,
    );
    expect(await say(client, plain("user2", "geheim"))).toMatch(/^235 /);
    const braked = server.log.filter(({ event }) => event === "auth-braked");
    expect(braked).toHaveLength(1);
    expect(braked[0]?.text).not.toContain("authentication failed");
  });

  test("shut out whoever proves to know the right one without saying it, too: there is nothing to learn", async () => {
    await open({ challenges: ["CRAM-MD5"] });
    for (let session = 0; session < 5; session++) {
      const client = await greet();
      expect(await say(client, plain("user1", `guess ${session}`))).toMatch(/^535 /);
      expect(await cramMd5(client, "user1", `guess ${session}`)).toMatch(/^535 /);
    }
    const client = await greet();
    expect(await cramMd5(client, "user1", "guess")).toMatch(/^454 4\.7\.0 Too many wrong passwords /);
    expect(await cramMd5(client, "user1", "secret")).toMatch(/^454 4\.7\.0 Too many wrong passwords /);
    expect(await cramMd5(client, "user2", "geheim")).toMatch(/^235 /);
  });

  test("are no longer looked at after ten where twenty connections say them at once, either", async () => {
    let checks = 0;
    let goOn = (): void => undefined;
    const gate = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    await open({
      verify: async () => {
        checks++;
        await gate;
        return { kind: "rejected", reason: "wrong password" };
      },
    });
    const clients = await Promise.all(Array.from({ length: 20 }, greet));
    const answers = clients.map((client, index) => say(client, plain("user1", `guess ${index}`)));
    await say(await greet(), "NOOP"); // all of them have been read by then, or will meet the rate limiter
    goOn();
    const codes = (await Promise.all(answers)).map((line) => line.slice(0, 3));
    expect(checks).toBe(10);
    expect(codes.filter((code) => code === "535")).toHaveLength(10);
    expect(codes.filter((code) => code === "454")).toHaveLength(10);
  });

  test("that are the same again and again cost no check, and after forty no answer but 454", {
    timeout: 120_000,
  }, async () => {
    const folder = await mkdtemp(join(tmpdir(), "tpa-submit-guessing-"));
    const file = join(folder, "mail-passwords");
    await writeFile(file, "user1:{PLAIN}secret\nuser1:{PLAIN}geheim\nuser2:{PLAIN}secret\n");
    const script = `import { parentPort } from "node:worker_threads";
      const seen = new Set();
      parentPort.on("message", ({ number, password }) => {
        if (seen.has(password)) throw new Error("asked twice");
        seen.add(password);
        parentPort.postMessage({ number, match: -1 });
      });`; // dies of a second check of the same
    const worker = new URL(`data:text/javascript,${encodeURIComponent(script)}`);
    const fileWorker = new URL("../../../../dist/passwd/file-worker.js", import.meta.url);
    const secret = Buffer.from("s");
    const options = { file, domain: "example.org", workers: 1, queue: 100, worker, fileWorker, secret };
    const verifier = await startVerifier(options, () => undefined);
    try {
      const now = Date.now();
      const limiter = newAuthRateLimiter(() => now, Buffer.alloc(32));
      await open({ authLimiter: limiter, verify: (login, password) => verifier.verify(login, password) });
      const clients = await Promise.all(Array.from({ length: 20 }, greet));
      const said: string[] = [];
      for (let round = 0; round < 3; round++) {
        await Promise.all(
          clients.map(async (_, index) => {
            for (const pair of [index, index + 20]) {
              if (pair >= 38) continue;
              const client = await greet();
              said.push(await say(client, plain(`user${pair}`, `old ${pair}`)));
              client.destroy();
            }
          }),
        );
      }
      const of = (start: string): number => said.filter((line) => line.startsWith(start)).length;
      expect(said).toHaveLength(3 * 38);
      expect(of("454 4.7.0 Passwords cannot be checked")).toBe(0);
      expect(of("535")).toBe(38 + 40);
      expect(of("454 4.7.0 Too many wrong passwords")).toBe(said.length - of("535"));
      expect(await say(await greet(), plain("user2", "another"))).toMatch(/^535 /);
    } finally {
      await verifier.close();
      await rm(folder, { recursive: true });
    }
  });

  test("are three tries of a connection, whatever the rate limiter says", async () => {
    const idle = async () => () => undefined;
    await open({
      authLimiter: {
        blockedUntil: () => undefined,
        acquire: idle,
        failed: () => 1,
        succeeded: () => undefined,
        blocksOf: () => [],
        blocks: () => 0,
        unblock: () => 0,
      },
    });
    const client = await greet();
    for (const guess of ["1", "2", "3"]) expect(await say(client, plain("user1", guess))).toMatch(/^535 /);
    expect(await say(client, plain("user1", "4"))).toMatch(/^421 /);
  });
});

describe("sessions side by side", () => {
  async function ready(client: Client): Promise<void> {
    expect(await say(client, plain("user1", "secret"))).toMatch(/^235 /);
    expect(await say(client, "MAIL FROM:<user1@example.org>")).toMatch(/^250 /);
    expect(await say(client, "RCPT TO:<x@example.net>")).toMatch(/^250 /);
  }

  test("cannot go beyond a limit together: the second one hears so before it sends its message", async () => {
    await open({ quota: quotaOf({ messagesPerHour: 1 }) });
    const [one, other] = [await greet(), await greet()];
    await ready(one);
    await ready(other);
    expect(await say(one, "DATA")).toMatch(/^354 /);
    expect(await say(other, "DATA")).toMatch(/^450 4\.7\.1 /);
    expect(await say(one, "From: user1@example.org\r\n\r\n.")).toMatch(/^250 /);
    expect(await say(other, "MAIL FROM:<user1@example.org>")).toMatch(/^450 4\.7\.1 /);
    expect(server.stored).toHaveLength(1);
  });

  test("leave their place when they go away amid a message", async () => {
    await open({ quota: quotaOf({ messagesPerHour: 1 }) });
    const [one, other] = [await greet(), await greet()];
    await ready(one);
    await ready(other);
    expect(await say(one, "DATA")).toMatch(/^354 /);
    one.destroy();
    while (!server.log.some(({ event }) => event === "connection-lost")) await new Promise(setImmediate);
    expect(await say(other, "DATA")).toMatch(/^354 /);
    expect(await say(other, "From: user1@example.org\r\n\r\n.")).toMatch(/^250 /);
    expect(server.stored).toHaveLength(1);
  });
});
