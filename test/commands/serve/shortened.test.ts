/** A relay with `log.privacy = "shortened"`: what its log, its history and fail2ban's own file say, and what trace finds. */
import { execFileSync } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { program, type Relay, startRelay } from "../../../demo/relay.mjs";
import { run } from "../../tools/child.mjs";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { pathOf, real } from "../../tools/real.ts";
import { authPlain, expecting, greet, note, submit } from "./conversation.ts";

vi.setConfig({ testTimeout: 120_000 });

let relay: Relay;
let hop: FakeServer | undefined;
afterEach(async () => {
  await relay.stop();
  await hop?.close();
  hop = undefined;
});

/** A client guesses a password, then somebody writes to a recipient whom the next hop refuses by name. */
async function guessAndSend(): Promise<{ id: string; written: string }> {
  hop = await fakeServer({
    RCPT: (to) =>
      to.includes("ludmilla")
        ? "550 5.1.1 <ludmilla@example.net>: no mailbox of Ludmilla here"
        : "250 2.1.5 fine",
  });
  relay = await startRelay(
    `[log]\nprivacy = "shortened"\nban-target = "file:FOLDER/ban.log"\n` +
      `[delivery]\nrelay = "smtp://127.0.0.1:${hop.port}"`,
  );
  const talk = await greet(relay);
  await expecting("535", talk.say(authPlain("user1", "wrong")));
  await expecting("235", talk.say(authPlain("user1", relay.password)));
  const id = await submit(talk, note("short"), { to: ["ludmilla@example.net"] });
  await relay.logged(new RegExp(`${id}: removed`));
  talk.close();
  const events = join(relay.folder, "spool", "events");
  const history = async (): Promise<string> => {
    const names = await readdir(events).catch(() => []);
    return (await Promise.all(names.map((name) => readFile(join(events, name), "utf8")))).join("");
  };
  await expect.poll(history, { timeout: 20_000 }).toContain(`"${id}","event":"removed"`);
  return { id, written: relay.log() + (await history()) };
}

const banned = (): Promise<string> => readFile(join(relay.folder, "ban.log"), "utf8");

test("log and history have networks and digests, fail2ban has the address", async () => {
  const { written } = await guessAndSend();
  expect(written).toContain("unknown[127.0.0.0/24]");
  expect(written).not.toMatch(/unknown\[127\.0\.0\.1\]|ludmilla/i);
  expect(written).toMatch(/#[0-9a-f]{12}@example\.net/);
  expect(await banned()).toMatch(
    /: warning: unknown\[127\.0\.0\.1\]: SASL PLAIN authentication failed: .*\n$/,
  );
});

test("trace finds a recipient of today by the address, after a restart as well", async () => {
  const { id } = await guessAndSend();
  const trace = (word: string) => run(process.execPath, [program, "trace", "--config", relay.config, word]);
  expect((await trace("Ludmilla@example.net")).stdout).toContain(id);
  const [before] = /#\w+@example\.net/.exec(relay.log()) ?? [];
  relay.signal("SIGTERM");
  await relay.ended;
  const kept = await readFile(join(relay.folder, "spool", "privacy-key"), "utf8");
  await relay.start();
  expect(await readFile(join(relay.folder, "spool", "privacy-key"), "utf8")).toBe(kept);
  expect((await trace(before ?? "")).stdout).toContain(id);
  expect((await trace("somebody@example.net")).status).toBe(66);
});

describe.skipIf(!real("fail2ban postfix"))("fail2ban's stock filter", () => {
  test("counts in its own file, and nobody in the log", async () => {
    await guessAndSend();
    const found = (text: string): string =>
      execFileSync(pathOf("fail2ban-regex") ?? "", ["--out", "ip", text, "postfix[mode=auth]"], {
        encoding: "utf8",
        stdio: ["ignore", "pipe", "ignore"],
      }).trim();
    expect(found(join(relay.folder, "ban.log"))).toBe("127.0.0.1");
    const lines = relay.log().split("\n");
    for (const line of lines.filter((one) => one.includes("authentication failed")))
      expect(found(line)).toBe("");
  });
});
