/**
 * Whoever steers the relay is answered at once, whatever one message costs: while one is converted and another comes in,
 * both as dear as messages may be. What comes first is compared, never a time.
 */
import { readdir } from "node:fs/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { until } from "../../tools/until.ts";
import { well } from "../queue/operator.ts";
import { enter, expecting, knock } from "./conversation.ts";

const head = [
  "From: user1@example.org",
  "MIME-Version: 1.0",
  "Content-Type: text/plain; charset=iso-8859-1",
  "Content-Transfer-Encoding: 8bit",
  "",
  "\xe4",
];
/** A MB of what is dearest to convert: each line costs, and this is the shortest that is encoded. */
const lines = " \r\n".repeat(333_333);
/** Converting it takes ten times as long as all that is asked meanwhile. */
const dear = `${head.join("\r\n")}\r\n${lines.repeat(48)}`;

const limits = `[limits]\nmessage-size = "50M"\n`;

let relay: Relay;
let hop: FakeServer;
beforeEach(async () => {
  hop = await fakeServer({ EHLO: "250-fake.example.net\n250 SIZE 1000000000" });
  relay = await prepareRelay(`${limits}[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`);
  await relay.start();
});
afterEach(async () => {
  await relay.stop();
  await hop.close();
});

test("a message that is dear to convert, and one that is dear to take, keep nobody waiting, and get lost by no signal", async () => {
  const whileConverted = async <Answer>(what: string, answer: Promise<Answer>): Promise<Answer> => {
    const found = await answer;
    expect(relay.log(), `${what} came when the conversion was over`).not.toMatch(/converted to 7-bit/);
    return found;
  };
  const coming = await enter(relay);
  const idle = await enter(relay);
  for (const command of ["MAIL FROM:<user1@example.org>", "RCPT TO:<y@example.net>", "DATA"]) {
    await coming.say(command);
  }
  await coming.send(Buffer.from(`${head.join("\r\n")}\r\n`, "latin1"));

  const id = await submitDear();
  await until("the conversion", () => hop.commands.some((line) => line.startsWith("EHLO")) || undefined);
  let pieces = 0;
  let more = true;
  const flood = (async () => {
    for (; more && pieces < 45; pieces += 1) await coming.send(lines);
  })();

  const before = relay.log().length;
  const answers = Promise.all([well(relay, "list"), well(relay, "show", id)]);
  relay.signal("SIGHUP");
  await whileConverted("the answer to SIGHUP", relay.logged(/mail-passwords: /, before));
  const [list, show] = await whileConverted("an answer of the control socket", answers);
  expect(list).toContain(id);
  expect(show).toContain("x@example.net");

  relay.signal("SIGTERM");
  await whileConverted("the answer to SIGTERM", relay.logged(/stopping: /));
  expect(await whileConverted("the goodbye", idle.reply())).toMatch(/^421 4\.3\.2 /);
  await whileConverted(
    "the closed door",
    expect(knock(relay.submission, false)).rejects.toThrow("ECONNREFUSED"),
  );
  more = false;
  await flood;
  const taken = /queued as (\w+)/.exec(await whileConverted("the other message", coming.say(".")))?.[1];
  relay.signal("SIGTERM");
  expect(await whileConverted("the end", relay.ended)).toEqual({ status: 75, signal: null });
  expect(hop.commands.some((line) => line.startsWith("MAIL"))).toBe(false);
  // A second of its own: one that a busy machine took away is none.
  expect(relay.log()).not.toMatch(
    /nothing was done for \S+ seconds \((?!0\.)\S+ of the processor\), with \w+ in hand/,
  );

  await relay.configure(limits);
  await relay.start();
  for (const one of [id, taken]) await relay.logged(new RegExp(`${one}: removed`));
  expect((await readdir(relay.delivered)).sort()).toEqual(
    [id, taken].flatMap((one) => [`${one}.eml`, `${one}.json`]).sort(),
  );
  expect(relay.log()).not.toMatch(/in hand at/);
}, 120_000);

async function submitDear(): Promise<string> {
  const talk = await enter(relay, "submissions");
  for (const command of ["MAIL FROM:<user1@example.org>", "RCPT TO:<x@example.net>", "DATA"]) {
    await talk.say(command);
  }
  await talk.send(Buffer.from(dear, "latin1"));
  const said = await expecting("250", talk.say("."));
  talk.close();
  return /queued as (\w+)/.exec(said)?.[1] ?? "";
}
