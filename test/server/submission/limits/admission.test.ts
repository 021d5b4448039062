/** More connections than there may be: strangers give way, people who are logged in do not. */
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, expect, test, vi } from "vitest";
import { newConnectionTable } from "../../../../src/server/submission/limits/admission.ts";
import { ask, connected, greeted, loggedIn, noBug, opened, texts } from "../test-clients.ts";
import { type TestListener, testTimeouts } from "../test-listener.ts";

test("the stranger that has been idle the longest gives its place up to a newcomer", async () => {
  const server = await opened("submission", { connections: 3 });
  const first = await greeted(server, false);
  const second = await greeted(server, false);
  const third = await greeted(server, false);
  expect(await ask(first, "NOOP")).toMatch(/^250 /);
  const fourth = await greeted(server, false);
  expect(await second.line()).toMatch(/^421 4\.3\.2 Too many connections/);
  expect(await second.line()).toBeUndefined();
  for (const client of [first, third, fourth]) expect(await ask(client, "NOOP")).toMatch(/^250 /);
  expect(texts(server)).toContain(
    "room made for another client, of 3 connections this was idle longest: unknown[127.0.0.1]",
  );
  noBug(server);
});

test("who has logged in never does: the newcomer is told to come again", async () => {
  const server = await opened("smtps", { connections: 2 });
  const people = [await loggedIn(server), await loggedIn(server)];
  const late = await connected(server);
  expect(await late.line()).toMatch(/^421 4\.3\.2 Too many connections/);
  for (const client of people) expect(await ask(client, "NOOP")).toMatch(/^250 /);
  expect(texts(server)).toContain("all 2 connections are in use, turned away: unknown[127.0.0.1]");
  noBug(server);
});

test("amid a handshake as well, and a crowd of silent ones keeps nobody out", async () => {
  const server = await opened("smtps", { connections: 20 });
  const silent = [];
  for (let count = 0; count < 60; count++) silent.push(await connected(server, false));
  const client = await loggedIn(server);
  for (let count = 0; count < 60; count++) silent.push(await connected(server, false));
  expect(await ask(client, "NOOP")).toMatch(/^250 /);
  expect(server.log.filter(({ event }) => event === "connections-full")).toEqual([]);
  noBug(server);
});

test("under stress a stranger is waited for less, and who has logged in as long as ever", async () => {
  const timeouts = { ...testTimeouts, stressed: 300 };
  const server = await opened("smtps", { connections: 3, timeouts });
  const person = await loggedIn(server);
  const stranger = await greeted(server);
  await ask(stranger, "NOOP");
  expect(await stranger.line()).toMatch(/^421 4\.4\.2 Timeout/);
  expect(await ask(person, "NOOP")).toMatch(/^250 /);
});

test("who comes when descriptors run short hears 421, and the log tells it", async () => {
  const server = await opened("submission", { descriptors: 1 });
  const client = await connected(server, false);
  expect(await client.line()).toMatch(/^421 4\.3\.2 Too many connections/);
  expect(texts(server)).toContain("nearly all 1 descriptors are in use, turned away: unknown[127.0.0.1]");
  noBug(server);
});

test("only so many commands of a stranger are signs of life", () => {
  const table = newConnectionTable();
  const ended: string[] = [];
  const busy = table.add("192.0.2.1");
  busy.admit(() => ended.push("busy"));
  for (let count = 0; count < 100; count++) busy.active();
  table.add("192.0.2.2").admit(() => ended.push("newcomer"));
  busy.active();
  expect(table.evictIdle()).toBe(true);
  expect(ended).toEqual(["busy"]);
  expect(table.admitted()).toBe(1);
});

const staying: Socket[] = [];

afterEach(() => {
  for (const socket of staying.splice(0)) socket.destroy();
});

/** A client that has said QUIT, has its answer, and keeps its side open. */
async function parted({ port }: TestListener): Promise<string> {
  const socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true }).on("error", () => undefined);
  staying.push(socket);
  let text = "";
  socket.setEncoding("utf8").on("data", (more: string) => {
    if (text === "") socket.write("QUIT\r\n");
    text += more;
  });
  await once(socket, "end");
  return text;
}

test("who has the answer to QUIT may come back at once, however long its old connection stays", async () => {
  const server = await opened("submission", { connectionsPerAddress: 1 });
  expect(await parted(server)).toMatch(/^220 .*\r\n221 /);
  const client = await greeted(server, false);
  expect(await ask(client, "NOOP")).toMatch(/^250 /);
  noBug(server);
});

test("of connections that had their last reply, no more stay than may be open", async () => {
  const server = await opened("submission", { connectionsPerAddress: 2 });
  for (let count = 0; count < 8; count++) expect(await parted(server)).toMatch(/\r\n221 /);
  await vi.waitFor(() => expect(server.listener.sessions()).toBeLessThanOrEqual(2), 60_000);
  noBug(server);
});

test("a connection that had its last reply counts among all, and no more for its network", () => {
  const table = newConnectionTable();
  const ended: number[] = [];
  const all = [1, 2, 3].map((number) => {
    const entry = table.add("192.0.2.1");
    entry.admit(() => undefined);
    for (const _ of [1, 2]) entry.farewell(2, () => ended.push(number));
    return entry;
  });
  expect(ended).toEqual([1]);
  expect(table.admitted()).toBe(3);
  const back = table.add("192.0.2.1");
  expect([back.fromNetwork, back.total]).toEqual([1, 4]);
  for (const { release } of all) release();
  back.release();
  back.farewell(0, () => ended.push(4));
  expect(ended).toEqual([1]);
  expect(table.admitted()).toBe(0);
  const next = table.add("192.0.2.1");
  expect([next.fromNetwork, next.total]).toEqual([1, 1]);
});
