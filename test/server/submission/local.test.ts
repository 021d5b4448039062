/** The local listener: who sends is said by XCLIENT, and everything else is as at the other listeners. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { listenLocally, type SessionHolder } from "../../../src/server/submission/listener.ts";
import { parseLocalSenders, senderPolicy } from "../../../src/server/submission/sender-policy.ts";
import { newSession } from "../../../src/server/submission/session.ts";
import { xclient } from "../../../src/server/submission/xclient.ts";
import { testContext } from "./test-listener.ts";

let folder: string;
let path: string;
let holder: SessionHolder;
const local = parseLocalSenders(
  "www-data: shop@example.org, news@example.org\n",
  "senders",
  "relay.example.org",
);
const context = {
  ...testContext(),
  senders: senderPolicy("own", "example.org", new Map(), local),
  isFrozen: (login: string) => login === "stolen",
};

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-local-"));
  path = join(folder, "local");
  holder = await listenLocally({ path, setting: "listen.local", mode: 0o600 }, () => context);
});
afterAll(async () => {
  await holder?.drain(0);
  await rm(folder, { recursive: true });
});

/** The replies to `lines`, which are all sent at once behind EHLO's answer. */
async function talk(...lines: readonly string[]): Promise<readonly string[]> {
  const socket = connect(path);
  let said = "";
  socket.on("data", (octets) => {
    if (said === "") socket.write([...lines, "QUIT", ""].join("\r\n"));
    said += octets.toString();
  });
  await new Promise((resolve) => socket.on("close", resolve));
  return said.split("\r\n").filter((line) => /^\d{3} /.test(line));
}

const ehlo = "EHLO me.example.org";

describe("the local listener", () => {
  test("has the permissions that it was given", async () => {
    expect((await stat(path)).mode & 0o7777).toBe(0o600);
  });

  test.each([
    [
      "takes mail from whom XCLIENT names",
      ["XCLIENT LOGIN=user1", ehlo, "MAIL FROM:<user1@example.org>"],
      "250 2.1.0",
    ],
    [
      "holds to that one's addresses",
      ["XCLIENT LOGIN=user1", ehlo, "MAIL FROM:<user2@example.org>"],
      "550 5.7.1",
    ],
    [
      "knows the addresses of this host's users",
      ["XCLIENT LOGIN=www-data@relay.example.org", ehlo, "MAIL FROM:<news@example.org>"],
      "250 2.1.0",
    ],
    [
      "and no others of theirs",
      ["XCLIENT LOGIN=www-data@relay.example.org", ehlo, "MAIL FROM:<www-data@relay.example.org>"],
      "550 5.7.1",
    ],
    [
      "root may use any",
      ["XCLIENT LOGIN=root@relay.example.org", ehlo, "MAIL FROM:<any@example.net>"],
      "250 2.1.0",
    ],
    ["wants to know who it is", [ehlo, "MAIL FROM:<user1@example.org>"], "530 5.7.0"],
    ["has no passwords", [ehlo, "AUTH PLAIN AHVzZXIxAHNlY3JldA=="], "502 5.5.1"],
    ["has no STARTTLS", [ehlo, "STARTTLS"], "503 5.5.1"],
    ["takes XCLIENT once", ["XCLIENT LOGIN=user1", "XCLIENT LOGIN=user2"], "503 5.5.1"],
    ["refuses a frozen login", ["XCLIENT LOGIN=stolen"], "525 5.7.13"],
    [
      "knows XDROP",
      ["XCLIENT LOGIN=user1", ehlo, `MAIL FROM:<user1@example.org> XDROP=${"a".repeat(32)}`],
      "250 2.1.0",
    ],
    [
      "XDROP has one form",
      ["XCLIENT LOGIN=user1", ehlo, "MAIL FROM:<user1@example.org> XDROP=../x"],
      "501 5.5.4",
    ],
  ])("%s", async (_, lines, reply) => {
    expect((await talk(...lines)).at(-2)).toMatch(new RegExp(`^${reply.replaceAll(".", "\\.")}`));
  });

  test("offers what it has", async () => {
    const socket = connect(path);
    let said = "";
    socket.on("data", (octets) => {
      if (said === "") socket.write(`${ehlo}\r\nQUIT\r\n`);
      said += octets.toString();
    });
    await new Promise((resolve) => socket.on("close", resolve));
    expect(said).toContain("250-XCLIENT ADDR LOGIN METHOD\r\n");
    expect(said).toContain("250-CHUNKING\r\n");
    expect(said).not.toMatch(/STARTTLS|AUTH/);
  });

  test("replaces a dead socket, and nothing else", async () => {
    const other = join(folder, "other");
    await writeFile(other, "");
    const where = { path: other, setting: "listen.local" };
    await expect(listenLocally(where, () => context)).rejects.toThrow(
      /is no socket, and is left alone.*listen\.local/,
    );
    await expect(listenLocally({ ...where, path }, () => context)).rejects.toThrow(
      /another program listens there/,
    );
  });
});

describe("XCLIENT", () => {
  const session = newSession("local", "127.0.0.1");

  test("tells the address and the method as well", () => {
    const given = xclient(session, "ADDR=2001:db8::7 LOGIN=User1@Example.org METHOD=SSH", context);
    expect(given.session).toMatchObject({
      address: "2001:db8::7",
      login: { name: "user1", mechanism: "SSH" },
    });
    expect(given.replies[0]?.code).toBe(220);
  });

  test.each([
    "",
    "LOGIN",
    "LOGIN=",
    "ADDR=192.0.2.1",
    "LOGIN=a LOGIN=b",
    "LOGIN=a NAME=b",
    "LOGIN=a ADDR=nowhere",
    "LOGIN=a+0Ab",
    "LOGIN=a METHOD=ssh",
    "LOGIN=a METHOD=A+20B",
    "LOGIN=[UNAVAILABLE]",
  ])("%j is refused", (argument) => {
    expect(xclient(session, argument, context).replies[0]?.code).toBe(501);
  });

  test("is unknown at the other listeners, and so is XDROP", async () => {
    const { respond } = await import("../../../src/server/submission/verbs.ts");
    const outside = {
      ...newSession("smtps", "192.0.2.7", { cipher: "X" }),
      helo: "me",
      login: { name: "user1", mechanism: "PLAIN" },
    };
    expect(respond({ ...outside, login: undefined }, "XCLIENT LOGIN=user1", context).replies[0]?.code).toBe(
      500,
    );
    const drop = `MAIL FROM:<user1@example.org> XDROP=${"a".repeat(32)}`;
    expect(respond(outside, drop, context).replies[0]?.code).toBe(555);
  });
});
