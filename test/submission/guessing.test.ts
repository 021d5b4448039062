/** Limits that several sessions share: wrong passwords, and what a login may send. */
import { createHmac } from "node:crypto";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Client, connect } from "./client.ts";
import { type Door, openDoor, quotaOf } from "./door.ts";

let door: Door;
const clients: Client[] = [];

async function open(changes: Parameters<typeof openDoor>[1] = {}): Promise<void> {
  door = await openDoor("smtps", changes);
}

beforeEach(() => {
  clients.length = 0;
});
afterEach(async () => {
  for (const client of clients) client.destroy();
  await door.close();
});

/** A session as far as EHLO. */
async function greet(): Promise<Client> {
  const client = await connect(door.port, true);
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
    const braked = door.log.filter(({ event }) => event === "auth-braked");
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

  test("are three tries of a connection, whatever the brake says", async () => {
    await open({ brake: { shut: () => undefined, failed: () => 1, succeeded: () => undefined } });
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
    expect(door.stored).toHaveLength(1);
  });

  test("leave their place when they go away amid a message", async () => {
    await open({ quota: quotaOf({ messagesPerHour: 1 }) });
    const [one, other] = [await greet(), await greet()];
    await ready(one);
    await ready(other);
    expect(await say(one, "DATA")).toMatch(/^354 /);
    one.destroy();
    while (!door.log.some(({ event }) => event === "connection-lost")) await new Promise(setImmediate);
    expect(await say(other, "DATA")).toMatch(/^354 /);
    expect(await say(other, "From: user1@example.org\r\n\r\n.")).toMatch(/^250 /);
    expect(door.stored).toHaveLength(1);
  });
});
