/** More connections than there may be: strangers give way, people who are logged in do not. */
import { expect, test } from "vitest";
import { newConnectionTable } from "../../../../src/server/submission/limits/admission.ts";
import { ask, connected, greeted, loggedIn, noBug, opened, texts } from "../test-clients.ts";
import { testTimeouts } from "../test-listener.ts";

test("the stranger that has been idle the longest gives its place up to a newcomer", async () => {
  const door = await opened("submission", { connections: 3 });
  const first = await greeted(door, false);
  const second = await greeted(door, false);
  const third = await greeted(door, false);
  expect(await ask(first, "NOOP")).toMatch(/^250 /);
  const fourth = await greeted(door, false);
  expect(await second.line()).toMatch(/^421 4\.3\.2 Too many connections/);
  expect(await second.line()).toBeUndefined();
  for (const client of [first, third, fourth]) expect(await ask(client, "NOOP")).toMatch(/^250 /);
  expect(texts(door)).toContain(
    "room made for another client, of 3 connections this was idle longest: unknown[127.0.0.1]",
  );
  noBug(door);
});

test("who has logged in never does: the newcomer is told to come again", async () => {
  const door = await opened("smtps", { connections: 2 });
  const people = [await loggedIn(door), await loggedIn(door)];
  const late = await connected(door);
  expect(await late.line()).toMatch(/^421 4\.3\.2 Too many connections/);
  for (const client of people) expect(await ask(client, "NOOP")).toMatch(/^250 /);
  expect(texts(door)).toContain("all 2 connections are in use, turned away: unknown[127.0.0.1]");
  noBug(door);
});

test("amid a handshake as well, and a crowd of silent ones keeps nobody out", async () => {
  const door = await opened("smtps", { connections: 20 });
  const silent = [];
  for (let count = 0; count < 60; count++) silent.push(await connected(door, false));
  const client = await loggedIn(door);
  for (let count = 0; count < 60; count++) silent.push(await connected(door, false));
  expect(await ask(client, "NOOP")).toMatch(/^250 /);
  expect(door.log.filter(({ event }) => event === "connections-full")).toEqual([]);
  noBug(door);
});

test("under stress a stranger is waited for less, and who has logged in as long as ever", async () => {
  const patience = { ...testTimeouts, stressed: 300 };
  const door = await opened("smtps", { connections: 3, timeouts: patience });
  const person = await loggedIn(door);
  const stranger = await greeted(door);
  await ask(stranger, "NOOP");
  expect(await stranger.line()).toMatch(/^421 4\.4\.2 Timeout/);
  expect(await ask(person, "NOOP")).toMatch(/^250 /);
});

test("who comes when descriptors run short hears 421, and the log tells it", async () => {
  const door = await opened("submission", { descriptors: 1 });
  const client = await connected(door, false);
  expect(await client.line()).toMatch(/^421 4\.3\.2 Too many connections/);
  expect(texts(door)).toContain("nearly all 1 descriptors are in use, turned away: unknown[127.0.0.1]");
  noBug(door);
});

test("only so many commands of a stranger are signs of life", () => {
  const crowd = newConnectionTable();
  const ended: string[] = [];
  const busy = crowd.add("192.0.2.1");
  busy.admit(() => ended.push("busy"));
  for (let count = 0; count < 100; count++) busy.active();
  crowd.add("192.0.2.2").admit(() => ended.push("newcomer"));
  busy.active();
  expect(crowd.evictIdle()).toBe(true);
  expect(ended).toEqual(["busy"]);
  expect(crowd.admitted()).toBe(1);
});
