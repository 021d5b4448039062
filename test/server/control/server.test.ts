/** The control socket: who may have it, and how it refuses what is no request. */
import { mkdtemp, rm, stat, writeFile } from "node:fs/promises";
import { request } from "node:http";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { setTimeout as pause } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { exitStatus, Failure } from "../../../src/failure.ts";
import { DatabaseAway } from "../../../src/postgres/connection.ts";
import { connectControlApi, knownToRelay } from "../../../src/server/control/client.ts";
import type { ControlApi } from "../../../src/server/control/protocol.ts";
import { type ControlServer, startControlServer } from "../../../src/server/control/server.ts";

let folder: string;
let path: string;
let socket: ControlServer | undefined;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "tpa-submit-socket-"));
  path = join(folder, "control");
});
afterEach(async () => {
  await socket?.close();
  socket = undefined;
  await rm(folder, { recursive: true });
});

/** Answers every request with two lines, or with what it throws. */
const api = ((request: { readonly verb: string }) =>
  (async function* () {
    yield { login: "user1", at: 0, by: "root", reason: "" };
    if (request.verb === "list") throw new Failure(exitStatus.temporary, "not now");
    if (request.verb === "active") throw new DatabaseAway("it was stopped");
    yield { login: "user2", at: 0, by: "root", reason: "" };
  })()) as unknown as ControlApi;

async function open(): Promise<void> {
  socket = await startControlServer(path, api, "1.2.3");
}

function post(
  body: string,
  url = "/requests",
): Promise<{ readonly code: number | undefined; readonly said: string }> {
  return new Promise((resolve, reject) => {
    const asking = request({ socketPath: path, path: url, method: "POST", agent: false }, (response) => {
      text(response).then((said) => resolve({ code: response.statusCode, said }), reject);
    });
    asking.on("error", reject).end(body);
  });
}

test("carries answers line by line, and a failure with its exit status", async () => {
  await open();
  const called = await connectControlApi(path, "1.2.3");
  const logins: string[] = [];
  for await (const { login } of called?.({ verb: "frozen" }) ?? []) logins.push(login);
  expect(logins).toEqual(["user1", "user2"]);
  const failing = async (): Promise<void> => {
    for await (const _ of called?.({ verb: "list", filter: {} }) ?? []);
  };
  await expect(failing()).rejects.toMatchObject({ message: "not now", status: exitStatus.temporary });
  const away = async (): Promise<void> => {
    for await (const _ of called?.({ verb: "active" }) ?? []);
  };
  await expect(away()).rejects.toMatchObject({
    message: "the database is away: it was stopped; ask again when it is back",
    status: exitStatus.unavailable,
  });
});

test("may be left in the middle of an answer", async () => {
  const endless = async function* () {
    for (;;) yield { login: "user1", at: 0, by: "root", reason: "" };
  } as unknown as ControlApi;
  socket = await startControlServer(path, endless, "1.2.3");
  const called = await connectControlApi(path, "1.2.3");
  for await (const { login } of called?.({ verb: "frozen" }) ?? []) {
    expect(login).toBe("user1");
    break; // what the connection says of that afterwards would end this process
  }
  await socket.close(); // after the connection's last event
  socket = undefined;
});

test("gives out envelopes that are known, as fast as they are taken and no faster", async () => {
  let given = 0;
  const endless = function* () {
    for (;;) {
      given += 1;
      yield `${"x".repeat(65_000)}\0`;
    }
  };
  const snapshot = { messages: 2, isSorted: true };
  let pieces: () => Iterable<string> = () => ["A\0B", "C\0"];
  let isKnown = false;
  socket = await startControlServer(path, api, "1.2.3", {
    known: () => (isKnown ? { ...snapshot, pieces: () => pieces() } : undefined),
  });
  expect(await knownToRelay(path)).toBeUndefined();
  isKnown = true;
  const found = await knownToRelay(path);
  expect(found).toMatchObject(snapshot);
  let octets = "";
  for await (const chunk of found?.octets ?? []) octets += chunk.toString();
  expect(octets).toBe("A\0BC\0");
  pieces = endless;
  const slow = await knownToRelay(path);
  for await (const _ of slow?.octets ?? []) {
    await pause(200); // it fills what lies between the two, and waits
    break;
  }
  expect(given).toBeGreaterThan(0);
  expect(given).toBeLessThan(100);
});

test("talks to a command of its own version only", async () => {
  await open();
  await expect(connectControlApi(path, "1.2.4")).rejects.toThrow(
    `${path}: the relay that runs is of version 1.2.3, this command of 1.2.4; restart the relay`,
  );
});

test("is missed where nobody listens", async () => {
  expect(await connectControlApi(path, "1.2.3")).toBeUndefined();
});

test("is for owner and group", async () => {
  await open();
  expect((await stat(path)).mode & 0o777).toBe(0o660);
});

test("is not taken from another program, nor is a file that is no socket removed", async () => {
  await open();
  await expect(startControlServer(path, api, "1.2.3")).rejects.toThrow(
    `${path}: another program listens there; stop that, or name another path in control.socket`,
  );
  const file = join(folder, "file");
  await writeFile(file, "precious");
  await expect(startControlServer(file, api, "1.2.3")).rejects.toThrow(/is no socket, and is left alone/);
  expect((await stat(file)).size).toBe(8);
});

test.each([
  ["a path that is too long for a socket", "x".repeat(120), /expected a path of 107 octets at most/],
  ["a folder that is not there", "missing/control", /cannot listen for requests: .*its folder must be there/],
])("refuses %s", async (_, name, words) => {
  await expect(startControlServer(join(folder, name), api, "1.2.3")).rejects.toThrow(words);
});

test.each([
  ["no JSON", "drop all", "not a request: expected JSON"],
  ["a verb that is none", '{"verb":"delete"}', "not a request: verb: expected list or read or act"],
  ["a field too many", '{"verb":"frozen","x":1}', "not a request: expected no unknown field"],
  [
    "an ID that is a path",
    '{"verb":"read","id":"../../etc/passwd","body":true}',
    "not a request: id: expected a queue ID",
  ],
  [
    "a reason of two lines",
    '{"verb":"freeze","login":"user1","reason":"a\\nb","by":{"name":"root","uid":0}}',
    "not a request: reason: expected one line",
  ],
])("refuses %s", async (_, body, words) => {
  await open();
  const { code, said } = await post(body);
  expect(code).toBe(400);
  expect(said).toContain(words);
});

test("has one address only", async () => {
  await open();
  expect((await post('{"verb":"frozen"}', "/")).code).toBe(404);
});

test("ends in one line where another kind of program answers", async () => {
  const other = createServer((client) => {
    client.on("error", () => undefined).end("220 relay ESMTP\r\n");
    client.resume();
  });
  await new Promise<void>((resolve) => other.listen(path, resolve));
  await expect(connectControlApi(path, "1.2.3")).rejects.toThrow(/the relay cannot be asked/);
  await new Promise((resolve) => other.close(resolve));
});
