/** A message that ends the relay each time is held; one that costs much keeps nobody waiting. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { checkoutProgram } from "../../../demo/program.mjs";
import { prepareRelay, type Relay } from "../../../demo/relay.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { until } from "../../tools/until.ts";
import { well } from "../queue/operator.ts";
import { enter, note, submit, submitAlone } from "./conversation.ts";

/** Takes the place of a bug: the process dies amid the conversion of a message that has this word in it. */
const poison = "deadly-nightshade";
const deadly = `const read = Buffer.prototype.toString;
Buffer.prototype.toString = function (...how) {
  const text = read.apply(this, how);
  if (how[0] === "latin1" && text.includes("${poison}") && new Error().stack.includes("seven-bit")) process.kill(process.pid, "SIGKILL");
  return text;
};`;

const eightBit = (token: string, body: string): string =>
  note(token, body).replace(
    "\r\n\r\n",
    "\r\nMIME-Version: 1.0\r\nContent-Type: text/plain; charset=iso-8859-1\r\nContent-Transfer-Encoding: 8bit\r\n\r\n",
  );

let relay: Relay;
let hop: FakeServer;
beforeEach(async () => {
  hop = await fakeServer({ EHLO: "250-fake.example.net\n250 SIZE 1000000000" });
  relay = await prepareRelay(
    `[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"\nretry-first = "1s"\nretry-longest = "1s"\n`,
  );
  relay.program = checkoutProgram; // its calls are told by their files
});
afterEach(async () => {
  delete process.env["NODE_OPTIONS"];
  await relay.stop();
  await hop.close();
});

test("a message in hand at two unclean ends in a row is held and named, all else goes on, release tries it again", async () => {
  process.env["NODE_OPTIONS"] = `--import=data:text/javascript,${encodeURIComponent(deadly)}`;
  await relay.start();
  const id = await submitAlone(relay, eightBit("bad", `${poison} \xe4`));
  expect(await relay.ended).toEqual({ status: null, signal: "SIGKILL" });

  await relay.start().catch(() => undefined);
  await relay.logged(new RegExp(`${id}: was in hand at an unclean end`)).catch((error: unknown) => {
    if (!relay.log().includes(`${id}: was in hand at an unclean end`)) throw error;
  });
  expect(await relay.ended).toEqual({ status: null, signal: "SIGKILL" });

  await relay.start();
  await relay.logged(new RegExp(`${id}: held: it was in hand at two unclean ends`));
  expect(await well(relay, "show", id)).toMatch(/in hand at two unclean ends of the relay in a row/);
  await relay.logged(new RegExp(`${await submitAlone(relay, eightBit("good", "\xe4"))}: removed`));
  relay.signal("SIGTERM");
  expect(await relay.ended).toEqual({ status: 0, signal: null });
  expect(await readdir(join(relay.folder, "spool"))).not.toContain("in-hand");

  delete process.env["NODE_OPTIONS"]; // the bug is mended
  await relay.start();
  await well(relay, "release", "--yes", id);
  await relay.logged(new RegExp(`${id}: removed`));
}, 60_000);

test("two kills of a relay that is busy hold nobody's mail", async () => {
  const silent = await fakeServer({ MAIL: { fault: "silence" } });
  await relay.configure(`[delivery]\nrelay = "smtp://127.0.0.1:${silent.port}"\nretry-first = "1s"`);
  await relay.start();
  const talk = await enter(relay);
  const ids = [];
  for (let count = 0; count < 5; count += 1) ids.push(await submit(talk, note(`waiting ${count}`)));
  for (let kill = 0; kill < 3; kill += 1) {
    await until("an attempt", () => (silent.commands.length > kill ? true : undefined));
    relay.signal("SIGKILL");
    await relay.ended;
    await relay.start();
    expect(relay.log()).not.toMatch(/: held: /);
  }
  await silent.close();
  expect(ids).toHaveLength(5);
}, 60_000);

describe("a message that costs much to convert", () => {
  test.each([
    ["one line of 18 MB", `${"\xe4 and so on ".repeat(1_500_000)}`],
    ["lines of dashes and blanks", `--${" ".repeat(150_000)}x\xe4\r\n`.repeat(60)],
  ])(
    "(%s) is converted in turns, with nothing that takes a second",
    async (_, body) => {
      await relay.configure(
        `[limits]\nmessage-size = "100M"\nmessages-per-hour = 1000\nrecipients-per-day = 1000\nnew-recipients-per-day = 1000\n[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`,
      );
      await relay.start();
      const talk = await enter(relay);
      const message = Buffer.from(eightBit("dear", body), "latin1");
      for (const command of ["MAIL FROM:<user1@example.org>", "RCPT TO:<x@example.net>", "DATA"]) {
        await talk.say(command);
      }
      await talk.send(message);
      const taken = await talk.say(".");
      const id = /queued as (\w+)/.exec(taken)?.[1];
      expect(taken).toMatch(/^250 /);
      expect(await talk.say("NOOP")).toMatch(/^250 /);
      await relay.logged(new RegExp(`${id}: removed`), 0, 200);
      expect(relay.log()).toMatch(/converted to 7-bit MIME/);
      expect(relay.log()).not.toMatch(/nothing was done for/);
      expect(hop.received[0]?.message).toMatch(/^Content-Transfer-Encoding: (?:quoted-printable|base64)/m);
      expect((await stat(join(relay.folder, "spool/in-hand"))).size).toBe(13);
      expect((await readFile(join(relay.folder, "spool/in-hand"), "utf8")).trim()).toBe("");
      talk.close();
    },
    240_000, // both are converted in seconds where nothing else runs
  );
});
