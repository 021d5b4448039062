/**
 * SIGKILL at random moments while twenty clients send: what was answered with 250 arrives, whatever the moment.
 * test/server/spool goes through the spool's steps one by one; this is the whole program under load.
 */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as pause } from "node:timers/promises";
import { afterAll, beforeAll, expect, test } from "vitest";
import { type Relay, startRelay } from "../../../demo/relay.mjs";
import { viewSpool } from "../../../src/server/spool/spool.ts";
import { type FakeServer, fakeServer } from "../../tools/fakeserver.ts";
import { freePort } from "../../tools/port.mjs";
import { until } from "../../tools/until.ts";
import { enter, note, submit } from "./conversation.ts";

const kills = 10;
const clients = 20;

let hop: FakeServer;
let relay: Relay;

beforeAll(async () => {
  hop = await fakeServer();
  const ports = [await freePort(), await freePort()];
  relay = await startRelay(`[listen]
submission = ["127.0.0.1:${ports[0]}"]
submissions = ["127.0.0.1:${ports[1]}"]
http = ""
[limits]
messages-per-hour = 1000000
recipients-per-day = 1000000
[delivery]
relay = "smtp://127.0.0.1:${hop.port}"
retry-first = "1s"`);
});
afterAll(async () => {
  await relay?.stop();
  await hop?.close();
});

test(`nothing that was answered with 250 is lost in ${kills} crashes under load`, async () => {
  const begun = new Set<string>();
  const answered = new Set<string>();
  let over = false;

  /** Sends message after message, and comes back when the relay does. */
  async function client(number: number): Promise<void> {
    while (!over) {
      try {
        const talk = await enter(relay, number % 2 === 0 ? "submission" : "submissions");
        while (!over) {
          const token = crypto.randomUUID();
          begun.add(token);
          await submit(talk, note(token, "x".repeat(2_000)));
          answered.add(token);
          await pause(50 * Math.random());
        }
        talk.close();
      } catch {
        await pause(50); // the relay was killed: whatever was under way was not answered
      }
    }
  }

  const sending = Array.from({ length: clients }, (_, number) => client(number));
  /** How many messages had arrived when a crash was over: a message may come twice only in two of these spans. */
  const crashes: number[] = [];
  const moments: number[] = [];
  for (let time = 0; time < kills; time += 1) {
    const enough = answered.size + 1;
    await until("a message to be answered", () => (answered.size >= enough ? true : undefined));
    moments.push(Math.round(800 * Math.random()));
    await pause(moments.at(-1));
    relay.signal("SIGKILL");
    expect(await relay.ended).toEqual({ status: null, signal: "SIGKILL" });
    await pause(50); // what was on the wire still arrives
    crashes.push(hop.received.length);
    await relay.start();
  }
  over = true;
  await Promise.all(sending);
  await until("an empty spool", async () =>
    (await (await viewSpool(join(relay.folder, "spool"))).ids()).length === 0 ? true : undefined,
  );
  for (const folder of ["queue", "messages", "drafts"]) {
    const path = join(relay.folder, "spool", folder);
    await until(`nothing in ${path}`, async () => ((await readdir(path)).length === 0 ? true : undefined));
  }

  const arrivals = new Map<string, number[]>();
  for (const [at, { message }] of hop.received.entries()) {
    const token = /^Subject: (\S+)\r$/m.exec(message)?.[1] ?? "";
    expect(message.endsWith(note(token, "x".repeat(2_000)))).toBe(true);
    const span = crashes.filter((crash) => crash <= at).length;
    arrivals.set(token, [...(arrivals.get(token) ?? []), span]);
  }
  const seen = { moments, answered: answered.size, arrived: arrivals.size };
  expect(
    [...answered].filter((token) => !arrivals.has(token)),
    JSON.stringify(seen),
  ).toEqual([]);
  expect([...arrivals.keys()].filter((token) => !begun.has(token))).toEqual([]);
  const twice = [...arrivals.values()].filter((spans) => spans.length > 1);
  expect(twice.filter((spans) => new Set(spans).size < spans.length)).toEqual([]);
  expect(twice.length).toBeLessThanOrEqual(kills * 20); // at most the deliveries under way: delivery.concurrency
  process.stdout.write(
    `${kills} crashes: ${answered.size} answered, ${arrivals.size} arrived, ${twice.length} of them more than once\n`,
  );
}, 120_000);
