/** A login frozen in one step: nobody gets in, nobody stays in, nothing comes in and nothing goes out. */
import { appendFile, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import bcrypt from "bcryptjs";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { until } from "../../tools/until.ts";
import { authPlain, enter, expecting, greet, note, submit, submitAlone } from "../serve/conversation.ts";
import { listed, queue, well } from "./operator.ts";

let relay: Relay;
beforeEach(async () => {
  relay = await startRelay('[delivery]\nrelay = "smtp://127.0.0.1:9"\nretry-first = "1h"');
});
afterEach(() => relay.stop());

// Each of these calls starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

const delivering = '[delivery]\nrelay = "file:FOLDER/delivered"';

const states = async (): Promise<Readonly<Record<string, unknown>>> =>
  Object.fromEntries((await listed(relay)).map((one) => [one["queue_id"], one["status"]]));

const delivered = async (): Promise<readonly string[]> =>
  (await readdir(relay.delivered)).filter((name) => name.endsWith(".eml")).map((name) => name.slice(0, 12));

test("ends sessions, refuses the login with words of its own, and holds what is queued", async () => {
  const mine = await submitAlone(relay, note("of user1"));
  await submitAlone(relay, note("for two"), { to: ["a@example.net", "b@example.net"] });
  const idle = await enter(relay);

  const said = await queue(relay, "freeze", "User1@Example.org", "--reason", "password stolen");
  expect(said).toMatchObject({ status: 0, stderr: "" });
  expect(said.stdout).toBe(
    [
      "user1 is frozen: no login, and nothing goes out.",
      "sessions ended: 1",
      "messages held: 2",
      "messages of the last hour: 2 accepted, 2 still here, 0 already gone",
      "recipients of the last 24 hours: 3 accepted, 3 still here, 0 already gone",
      "",
    ].join("\n"),
  );
  expect(await idle.reply()).toMatch(/^421 4\.7\.0 This login was disabled/);
  const again = await greet(relay, "submissions");
  expect(await again.say(authPlain(relay.login, relay.password))).toMatch(
    /^525 5\.7\.13 This login is disabled/,
  );
  expect(await again.say(authPlain(relay.login, "wrong"))).toMatch(/^535 5\.7\.8 /);
  await relay.logged(/SASL PLAIN authentication not allowed: the login is frozen, sasl_username=user1/);
  await relay.logged(/frozen by \S+ \(uid \d+.*, 1 sessions ended, 2 messages held \(password stolen\)/);
  expect(await well(relay, "freeze")).toMatch(/^user1: frozen since \S+ by .*: password stolen\n$/);
  expect((await queue(relay, "release", mine, "--yes")).stderr).toMatch(
    /login user1 is frozen: password stolen; queue thaw/,
  );
  expect(Object.values(await states())).toEqual(["held", "held"]);
});

test("goes on with the mail of others; thaw lets the login and its messages go on, but for what was held before", async () => {
  const mine = await submitAlone(relay, note("of user1"));
  const apart = await submitAlone(relay, note("held before"));
  await well(relay, "hold", apart, "--reason", "a reason of its own", "--yes");
  await well(relay, "freeze", "user1");
  await appendFile(join(relay.folder, "mail-passwords"), `user2:${await bcrypt.hash("another", 4)}\n`);
  await relay.configure(delivering);
  relay.signal("SIGHUP");
  await relay.logged(/mail-passwords: 2 logins/);
  const other = await greet(relay);
  await expecting("235", other.say(authPlain("user2", "another")));
  const theirs = await submit(other, note("of user2").replace("user1", "user2"), {
    from: "user2@example.org",
    to: ["x@example.com"],
  });
  await relay.logged(new RegExp(`${theirs}: removed`));
  expect(await delivered()).toEqual([theirs]);

  expect(await well(relay, "thaw", "user1", "--yes")).toBe(
    "user1 is thawed: 1 message released, 1 stay held for another reason\n",
  );
  await well(relay, "retry", mine, "--yes");
  await relay.logged(new RegExp(`${mine}: removed`));
  expect(await states()).toEqual({ [apart]: "held" });
  await enter(relay);
});

test("does not accept the message that a session is sending", async () => {
  const slow = await enter(relay);
  await slow.say("MAIL FROM:<user1@example.org>");
  await slow.say("RCPT TO:<x@example.net>");
  await expecting("354", slow.say("DATA"));
  await slow.send(note("half").slice(0, 60));
  await well(relay, "freeze", "user1");
  expect(await slow.reply()).toMatch(/^421 4\.7\.0 /);
  await slow.send(`${note("half").slice(60)}.\r\n`).catch(() => undefined); // it may be gone already
  await relay.logged(/disconnect from/);
  expect(await listed(relay)).toEqual([]);
  expect(await readdir(join(relay.folder, "spool/messages"))).toEqual([]);
});

test("holds everything that was accepted in the same moment, and after a kill", async () => {
  await relay.configure(delivering);
  relay.signal("SIGHUP");
  await relay.logged(/passwords re-read/);
  const accepted: string[] = [];
  const sessions = Array.from({ length: 8 }, async (_, number) => {
    const talk = await enter(relay, "submissions");
    try {
      for (let count = 0; ; count++) accepted.push(await submit(talk, note(`${number}-${count}`)));
    } catch (error) {
      return String(error); // ended by the freeze
    }
  });
  await until("some mail", () => (accepted.length > 40 ? true : undefined));
  await well(relay, "freeze", "user1");
  const gone = await delivered();
  for (const end of await Promise.all(sessions))
    expect(end).toMatch(/421 4\.7\.0|550 5\.7\.13|nothing|ECONNRESET|EPIPE/);
  // Who was told 250 has a message that went out before, or is held; an attempt under way may have ended meanwhile.
  relay.signal("SIGKILL");
  await relay.ended;
  await relay.start();
  const held = Object.entries(await states());
  expect(held.every(([, status]) => status === "held")).toBe(true);
  const out = await delivered();
  expect(out.length - gone.length).toBeLessThanOrEqual(20); // what was under way: delivery.concurrency
  const all = [...out, ...held.map(([id]) => id)];
  expect(accepted.filter((id) => !all.includes(id))).toEqual([]);
  const again = await greet(relay, "submissions");
  expect(await again.say(authPlain(relay.login, relay.password))).toMatch(/^525 5\.7\.13 /);
  expect(await readFile(join(relay.folder, "spool/frozen"), "utf8")).toContain('"login":"user1"');
});

test("warns where there is no such login, and freezes it all the same", async () => {
  const said = await queue(relay, "freeze", "nobody");
  expect(said.stderr).toMatch(/^warning: nobody can log in as nobody anyway: /);
  expect(said.status).toBe(0);
});
