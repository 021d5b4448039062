/** The history that a relay at work writes: what became of a message and of a login, and nothing where none is wanted. */
import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import type { HistoryEvent } from "../../../src/server/history/event.ts";
import { eventsIn } from "../../../src/server/history/reader.ts";
import { authPlain, expecting, greet, note, submit } from "./conversation.ts";

let relay: Relay;
afterEach(() => relay.stop());

const always = { since: 0, until: Number.POSITIVE_INFINITY };
const directory = () => join(relay.folder, "spool", "events");

async function history(): Promise<readonly HistoryEvent[]> {
  const events = [];
  for await (const event of eventsIn(directory(), always)) events.push(event);
  return events;
}

/** Sends one message after a wrong password; gives its queue ID. */
async function useRelay(): Promise<string> {
  const talk = await greet(relay);
  await expecting("535", talk.say(authPlain("user1", "wrong")));
  await expecting("235", talk.say(authPlain("user1", relay.password)));
  await expecting("550", talk.say("MAIL FROM:<boss@example.org>"));
  const id = await submit(talk, note("kept"));
  await relay.logged(new RegExp(`${id}: removed`));
  talk.close();
  return id;
}

test("tells what became of a message and a login, also after the relay was killed", async () => {
  relay = await startRelay();
  const id = await useRelay();
  const client = "unknown[127.0.0.1]";
  await expect
    .poll(async () => (await history()).map(({ event }) => event))
    .toEqual(["started", "auth-failed", "auth-accepted", "reject", "accepted", "delivery", "removed"]);
  relay.signal("SIGKILL");
  await relay.ended;
  const [, failed, passed, refused, accepted, delivered, removed] = await history();
  expect(failed).toMatchObject({ client, login: "user1", mechanism: "PLAIN" });
  expect(passed).toMatchObject({ client, login: "user1" });
  expect(refused).toMatchObject({ login: "user1", from: "boss@example.org", reply: { code: 550 } });
  expect(accepted).toMatchObject({ id, login: "user1", from: "user1@example.org", recipients: 1 });
  expect(delivered).toMatchObject({ id, reply: { code: 250 } });
  expect(removed).toMatchObject({ id });
  for (const name of await readdir(directory())) {
    expect(await readFile(join(directory(), name), "utf8")).not.toContain(relay.password);
  }
});

test("is not written where nothing is to be kept", async () => {
  relay = await startRelay('[history]\nkeep = "0s"');
  await useRelay();
  relay.signal("SIGTERM");
  await relay.ended;
  expect(existsSync(directory())).toBe(false);
});
