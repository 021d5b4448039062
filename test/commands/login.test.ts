/** `login` as an operator types it, beside a relay at work and without one. */
import { readFileSync } from "node:fs";
import { afterEach, expect, test, vi } from "vitest";
import { program, type Relay, startRelay } from "../../demo/relay.mjs";
import { listCommand } from "../../src/commands/login/list.ts";
import { showCommand } from "../../src/commands/login/show.ts";
import { subcommands } from "../../src/commands/login.ts";
import { type Ended, run } from "../tools/child.mjs";
import { authPlain, expecting, greet, note, submit } from "./serve/conversation.ts";

// Each call starts the program anew, and a busy machine takes its time for that.
vi.setConfig({ testTimeout: 120_000 });

let relay: Relay;
afterEach(() => relay.stop());

const login = (command: string, ...words: readonly string[]): Promise<Ended> =>
  run(process.execPath, [program, "login", command, "--config", relay.config, ...words]);

/** What `login show` says, as soon as the history has it. */
const shown = (pattern: RegExp) =>
  expect
    .poll(async () => (await login("show", "User1@example.org")).stdout, { timeout: 30_000 })
    .toMatch(pattern);

test("one that sent and mistyped: lines, limits, last login, refusals; and the list by both orders", async () => {
  relay = await startRelay("[limits]\nmessages-per-hour = 1");
  const talk = await greet(relay);
  await expecting("535", talk.say(authPlain("user1", "wrong")));
  await expecting("235", talk.say(authPlain("user1", relay.password)));
  const id = await submit(talk, note("counted"));
  await relay.logged(new RegExp(`${id}: removed`));
  await expecting("450", talk.say("MAIL FROM:<user1@example.org>"));
  await shown(/refusal +\S+ \S+ {2}user1 reached the limit/);
  const { stdout } = await login("show", "user1");
  expect(stdout).toMatch(/^user1: let in with the right password\n/);
  expect(stdout).toMatch(/^ {2}passwords +1 line in \S+, written \d{4}-/m);
  expect(stdout).toMatch(/^ {2}sessions +1$/m);
  expect(stdout).toMatch(/^ {2}limit +1 of 1 messages an hour, reached until \d{4}-/m);
  expect(stdout).toMatch(/^ {2}queue +0 messages$/m);
  expect(stdout).toMatch(/sent 1 message to 1 recipient, \d+: 1 handed over, 0 refused by the other side$/m);
  expect(stdout).toMatch(
    /^ {2}last login +\S+ \S+ {2}user1 logged in from unknown\[127\.0\.0\.1\] \(PLAIN\)$/m,
  );
  expect(stdout).toMatch(/^ {2}refusal +\S+ \S+ {2}user1 was not let in .*: wrong password$/m);
  expect(stdout).not.toContain("$2"); // no hash
  talk.close();

  const volume = await login("list");
  expect(volume.stdout).toMatch(/^LOGIN +MESSAGES +RECIPIENTS.*\nuser1 +1 +1 +\d+ +0 +\d +1 +\d+s ago\s*\n$/);
  expect((await login("list", "--by", "trouble")).stdout).toMatch(/^LOGIN[^\n]*\nuser1 /);
  const [line = ""] = (await login("list", "--json")).stdout.split("\n");
  expect(JSON.parse(line)).toMatchObject({ login: "user1", messages: 1, wrongPasswords: 1, frozen: false });
});

test("one that is frozen, then thawed, says so first", async () => {
  relay = await startRelay();
  await login("freeze", "user1", "--reason", "stolen");
  expect((await login("show", "user1")).stdout).toMatch(/^user1: not let in, frozen since .*: stolen\n/);
  expect((await login("list", "--by", "trouble")).stderr).toMatch(/, 1 frozen/);
  await login("thaw", "--yes", "user1");
  expect((await login("show", "user1")).stdout).toMatch(/^user1: let in with the right password\n/);
});

test("one whose passwords are not checked any more says from where and until when, until it is unblocked", async () => {
  relay = await startRelay();
  // At the same time, because each wrong password is answered later than the one before.
  const guesses = Array.from({ length: 10 }, async (_, index) => {
    const talk = await greet(relay);
    await expecting("535", talk.say(authPlain("user1", `wrong ${index}`)));
    talk.close();
  });
  await Promise.all(guesses);
  const blocked = await login("show", "user1");
  expect(blocked.stdout).toMatch(/^user1: let in, but not from everywhere at the moment\n/);
  expect(blocked.stdout).toMatch(
    /^ {2}blocked +from 127\.0\.0\.1 until \d{4}-\S+ \S+, after 10 wrong passwords/m,
  );
  expect((await login("unblock", "user1")).stderr).toMatch(
    /^user1: 1 block ended; passwords are checked again\n/,
  );
  await relay.logged(/wrong passwords of user1 forgotten by \S+ \(uid \d+/);
  expect((await login("show", "user1")).stdout).toMatch(/^user1: let in with the right password\n/);
  const talk = await greet(relay);
  await expecting("235", talk.say(authPlain("user1", relay.password)));
  talk.close();
  expect((await login("unblock", "192.0.2.7")).stderr).toMatch(/^192\.0\.2\.7 was not blocked/);
});

test("without a relay: what the files know; and unblock has nothing to do", async () => {
  relay = await startRelay();
  relay.signal("SIGTERM");
  await relay.ended;
  expect((await login("show", "user1")).stdout).toMatch(/^user1: would be let in, but no relay runs here\n/);
  const nobody = await login("show", "nobody");
  expect(nobody.stdout).toMatch(/^nobody: not let in, there is no such login\n/);
  expect(nobody.status).toBe(66);
  const idle = await login("unblock", "user1");
  expect(idle.stderr).toMatch(/no relay runs here/);
  expect(idle.status).toBe(69);
});

test("tpa-submit-login(8) has every subcommand and every option", () => {
  const page = readFileSync(new URL("../../man/tpa-submit-login.8", import.meta.url), "utf8");
  const named = [...page.matchAll(/^\.It Cm (\S+)$/gm)].map(([, name]) => name);
  expect(new Set(named)).toEqual(new Set(Object.keys(subcommands)));
  for (const { flags } of [listCommand, showCommand].flatMap(({ options }) => Object.values(options))) {
    const long = flags.split(/[ ,]+/).find((word) => word.startsWith("--")) ?? "";
    expect(page).toMatch(new RegExp(`^\\.It Fl (?:. , )?-${long.slice(2)}\\b`, "m"));
  }
});
