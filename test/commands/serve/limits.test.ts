/** What a login has sent counts on after a restart, however the relay ended; mail never waits for the file that says so. */
import { readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { until } from "../../tools/until.ts";
import { enter, note, submitAlone } from "./conversation.ts";

let relay: Relay;
beforeEach(async () => {
  relay = await startRelay("[limits]\nmessages-per-hour = 2\nnew-recipients-per-day = 3");
});
afterEach(() => relay.stop());

const usage = (): string => join(relay.folder, "spool/usage");

/** The answer to MAIL in a new session. */
async function mail(): Promise<string> {
  const talk = await enter(relay, "submissions");
  const said = await talk.say("MAIL FROM:<user1@example.org>");
  talk.close();
  return said;
}

/** Resolves when so many messages are written down; a 250 does not wait for that. */
const writtenDown = (messages: number): Promise<true> =>
  until("the file of what was sent", async () => {
    const lines = (await readFile(usage(), "utf8")).split("\n");
    return lines.filter((line) => line.includes('"user1",1,')).length >= messages ? true : undefined;
  });

describe("the limits of a login", () => {
  test("hold over a restart, and a reload raises them", async () => {
    await submitAlone(relay, note("one"));
    await submitAlone(relay, note("two"), { to: ["a.person@example.net", "b@example.net"] });
    expect(await mail()).toMatch(
      /^450 4\.7\.1 The limit of 2 messages an hour is reached; try again in 6\d minutes/,
    );
    await relay.logged(/warning: limit of 2 messages an hour reached until \S+Z, sasl_username=user1/);
    relay.signal("SIGTERM");
    await relay.ended;
    await relay.start();
    expect(await mail()).toMatch(/^450 /);

    await relay.configure("[limits]\nmessages-per-hour = 3\nnew-recipients-per-day = 3");
    relay.signal("SIGHUP");
    await relay.logged(/passwords re-read/);
    const talk = await enter(relay);
    await talk.say("MAIL FROM:<user1@example.org>");
    expect(await talk.say("RCPT TO:<stranger@example.net>")).toMatch(
      /^450 .* not written to before is reached/,
    );
    expect(await talk.say("RCPT TO:<A.Person@example.net>")).toMatch(/^250 /);
    talk.close();

    expect((await stat(usage())).mode & 0o777).toBe(0o600);
    expect(await readFile(usage(), "utf8")).not.toMatch(/person/i);
  });

  test("hold after a crash", async () => {
    await submitAlone(relay, note("one"));
    await submitAlone(relay, note("two"));
    await writtenDown(2);
    relay.signal("SIGKILL");
    await relay.ended;
    await writeFile(usage(), `${await readFile(usage(), "utf8")}[1795348800,"us`); // cut short
    await relay.start();
    expect(await mail()).toMatch(/^450 /);
    expect(relay.log()).not.toMatch(/no longer counts/);
  });

  test("begin afresh where the file is broken, which is told", async () => {
    await submitAlone(relay, note("one"));
    await submitAlone(relay, note("two"));
    relay.signal("SIGTERM");
    await relay.ended;
    await writeFile(usage(), "broken\n");
    await relay.start();
    expect(relay.log()).toMatch(/warning: \S+spool\/usage: .*no longer counts for the limits/);
    await submitAlone(relay, note("three"));
    await writtenDown(1);
  });
});
