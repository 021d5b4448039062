/** More connections than there may be: strangers give way, people who are logged in do not. */
import { expect, test } from "vitest";
import { newConnectionTable } from "../../../../src/server/submission/limits/admission.ts";
import { ask, connected, greeted, loggedIn, noBug, opened, texts } from "../test-clients.ts";
import { testTimeouts } from "../test-listener.ts";

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
