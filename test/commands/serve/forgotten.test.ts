/** Nothing about anybody is left in the spool once `history.keep` is over: looked for in every file, while the relay runs. */
import { readdir, readFile, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, expect, test, vi } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { authPlain, expecting, knock, submit } from "./conversation.ts";

vi.setConfig({ testTimeout: 180_000 });

let relay: Relay;
let hop: FakeServer;
afterEach(async () => {
  await relay.stop();
  await hop.close();
});

const telling = /wilhelmina|xanthippe|zacharias|quetzalcoatl/i;

/** Of who logged in, and from where. */
const ofTheLogin = /user1|127\.0\.0\.1|laptop\.example/i;

/** Every file below `folder` that tells of somebody. */
async function filesThatTell(folder: string, what = telling): Promise<readonly string[]> {
  const found: string[] = [];
  for (const name of await readdir(folder, { recursive: true })) {
    const path = join(folder, name);
    const isFile = await stat(path).then(
      (status) => status.isFile(),
      () => false, // gone meanwhile
    );
    if (!isFile) continue;
    const text = await readFile(path, "latin1").catch(() => "");
    if (what.test(text)) found.push(name);
  }
  return found.sort();
}

test("no file of the spool names anybody after history.keep", async () => {
  hop = await fakeServer({
    RCPT: (to) =>
      to.includes("xanthippe") ? "550 5.1.1 <xanthippe@example.net> is not known" : "250 2.1.5 fine",
  });
  relay = await startRelay(
    `[history]\nkeep = "7s"\nsize = "4M"\n[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`,
  );
  const spool = join(relay.folder, "spool");
  const { talk } = await knock(relay.submissions, true);
  await expecting("250", talk.say("EHLO quetzalcoatl.example"));
  await expecting("535", talk.say(authPlain("zacharias", "wrong")));
  await expecting("235", talk.say(authPlain(relay.login, relay.password)));
  await expecting("550", talk.say("MAIL FROM:<zacharias@example.org>"));
  const message =
    "From: user1@example.org\r\nMessage-ID: <wilhelmina@example.org>\r\nSubject: x\r\n\r\nDear Wilhelmina\r\n";
  const id = await submit(talk, message, { to: ["wilhelmina@example.net", "xanthippe@example.net"] });
  await relay.logged(new RegExp(`${id}: removed`));
  talk.close();
  await expect
    .poll(() => filesThatTell(spool), { timeout: 20_000, interval: 100 })
    .toContainEqual(expect.stringMatching(/^events\/.*\.jsonl$/));
  expect(await filesThatTell(spool, ofTheLogin)).toContain("usage");
  await expect.poll(() => filesThatTell(spool), { timeout: 60_000, interval: 500 }).toEqual([]);
  // What the limits of a day are counted by is kept for that day: the login, and of recipients only digests.
  await expect
    .poll(() => filesThatTell(spool, ofTheLogin), { timeout: 60_000, interval: 500 })
    .toEqual(["usage"]);
  const usage = await readFile(join(spool, "usage"), "utf8");
  expect(usage).toMatch(/"user1"/);
  expect(usage).not.toMatch(/@|127\.0\.0\.1/);
});
