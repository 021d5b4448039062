/**
 * The real program, both doors, met by clients that send anything. In the gate for a few seconds; for longer:
 *     npm run fuzz                                  30 minutes
 *     TPA_SUBMIT_FUZZ_MINUTES=5 TPA_SUBMIT_FUZZ_SEED=1 npm run fuzz
 * A failure names the seed and the conversation.
 */
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import bcrypt from "bcryptjs";
import fc from "fast-check";
import { expect, test } from "vitest";
import { prepareRelay, type Relay } from "../../demo/relay.mjs";
import { freePort } from "../tools/port.mjs";
import { bound, costliestStandstill, feelPulse } from "../tools/pulse.ts";
import { until } from "../tools/until.ts";
import { converse } from "./client.ts";
import { conversation, mark } from "./mutation.ts";

const minutes = Number(process.env["TPA_SUBMIT_FUZZ_MINUTES"] ?? 0.2);
const seed = Number(process.env["TPA_SUBMIT_FUZZ_SEED"] ?? Date.now() % 1_000_000);

/** Clients at a time: enough to keep the server busy while some wait for the answer to a wrong password. */
const clients = 12;

/** Of one client, what the log keeps is bounded; of all together, what the process keeps must be. In MiB. */
const growth = minutes < 1 ? 80 : 40; // a short run ends while code is still being compiled

const settings = (http: number): string => `[listen]
submission = ["127.0.0.1:0"]
submissions = ["127.0.0.1:0"]
http = "127.0.0.1:${String(http)}"
[limits]
message-size = "100K"
messages-per-hour = 1000000
recipients-per-day = 100000000
new-recipients-per-day = 100000000
[log]
client-address-in-mail = true`;

const months = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec";
const logLine = new RegExp(
  `^(?:${months}) [ \\d]\\d \\d\\d:\\d\\d:\\d\\d relay(?:\\.example\\.org)? postfix/[a-z/]+\\[(\\d+)\\]: [^\\0-\\x1f\\x7f-\\x9f]+$`,
);
const received =
  /^Received: from (?:unknown|[A-Za-z0-9._-]+|\[[A-Za-z0-9.:]+\]) \(\[127\.\d+\.\d+\.1\]\) by relay\.example\.org\r\n\twith (?:ESMTP|UTF8SMTP)SA id ([0-9A-F]+)(?: for <[^\r\n>]+>)?\r\n\ttls TLS_\w+; \w{3}, \d\d? \w{3} \d{4} [\d:]{8} [+-]\d{4}\r\n/;

test(`anything may come for ${minutes} minutes (seed ${seed})`, {
  timeout: minutes * 60_000 + 180_000,
}, async () => {
  const http = await freePort();
  const relay = await prepareRelay(settings(http));
  try {
    await known(relay);
    await relay.start();
    const watch = watchOf(relay);
    const pulse = feelPulse(() => ({ submission: relay.submission, http }));
    const end = Date.now() + minutes * 60_000;
    const inspecting = (async () => {
      while (Date.now() < end) {
        await new Promise((resolve) => setTimeout(resolve, Math.min(5_000, minutes * 10_000)));
        await watch.inspect();
      }
    })();
    const checks = Array.from({ length: clients }, (_, number) => knock(relay, watch, seed + number, end));
    await Promise.all([inspecting, ...checks]);
    const { greetings, metrics, slowest } = await pulse.stop();
    await until("all sessions to end", async () => {
      const text = relay.log();
      const [came, went] = [/: connect from /g, /: disconnect from /g].map(
        (what) => text.match(what)?.length,
      );
      return came === went ? true : undefined;
    });
    await until("the spool to be empty", async () => ((await left(relay)) === 0 ? true : undefined));
    await watch.inspect();
    watch.report();
    const standstill = costliestStandstill(relay.log());
    process.stderr.write(
      `${String(greetings)} greetings, ${String(metrics)} metrics, the slowest after ${slowest.toFixed(0)} ms; ` +
        `standstills took up to ${String(standstill)} s of the processor\n`,
    );
    expect(Math.min(greetings, metrics)).toBeGreaterThan(0);
    expect(slowest, "milliseconds of the slowest answer").toBeLessThan(bound);
    expect(standstill * 1_000, "milliseconds of processor time of a standstill").toBeLessThan(bound);
  } finally {
    await relay.stop();
  }
});

/** Two people, whose passwords are those of test/dialogues. */
async function known({ folder }: Relay): Promise<void> {
  const lines = await Promise.all(
    [
      ["user1", "secret"],
      ["user2", "geheim"],
    ].map(async ([login = "", password = ""]) => `${login}:${await bcrypt.hash(password, 4)}\n`),
  );
  await writeFile(join(folder, "mail-passwords"), lines.join(""), { mode: 0o600 });
}

/** Has one conversation after the other until `end`. */
async function knock(relay: Relay, watch: Watch, firstSeed: number, end: number): Promise<void> {
  for (let own = firstSeed; ; own += clients) {
    const visits = fc.sample(fc.tuple(conversation, fc.nat({ max: 65_535 })), { seed: own, numRuns: 100 });
    for (const [given, network] of visits) {
      if (Date.now() >= end) return;
      try {
        // From ever another network, so that wrong passwords of one do not shut the others out.
        watch.heard(await converse(given, relay, `127.${network >> 8}.${network & 255}.1`), given.way);
      } catch (error) {
        throw new Error(
          `seed ${own}: ${JSON.stringify({ ...given, octets: given.octets.toString("latin1") })}`,
          {
            cause: error,
          },
        );
      }
    }
  }
}

/** Throws unless a client's message has our field on top, and nothing of the client's in it. */
function expectOurs(id: string, text: string): void {
  const [ours = "", shownId] = received.exec(text) ?? [];
  expect(shownId, text.slice(0, 600)).toBe(id);
  expect(ours).not.toContain(mark);
}

const reportFields = new Set(
  (
    "Date From To Subject Message-ID In-Reply-To References Auto-Submitted MIME-Version Content-Type " +
    "Content-Transfer-Encoding"
  ).split(" "),
);

/** Throws where a report has a field that the client wrote, in its header or in what is said of the delivery. */
function expectReport(text: string): void {
  const header = text.slice(0, text.indexOf("\r\n\r\n"));
  const names = header.split(/\r\n(?![ \t])/).map((field) => field.slice(0, field.indexOf(":")));
  expect(names.filter((name) => !reportFields.has(name))).toEqual([]);
  const ours = text.slice(
    0,
    text.search(
      /\r\nContent-Type: (?:message\/(?:rfc822|global)|text\/rfc822-headers|message\/global-headers)/,
    ),
  );
  expect(ours).not.toMatch(new RegExp(`^${mark}`, "m"));
}

interface Watch {
  /** Takes what a client was told. Throws where that is no SMTP. */
  heard(text: string, way: string): void;
  /** Looks at the log and at what was delivered since the last time. Throws where something is wrong. */
  inspect(): Promise<void>;
  /** Judges memory and tells the figures. */
  report(): void;
}

function watchOf(relay: Relay): Watch {
  const promised = new Set<string>();
  const delivered = new Set<string>();
  const memory: number[] = [];
  const count = { conversations: 0, replies: 0, messages: 0, lines: 0 };
  let seen = 0;

  async function inspectMail(): Promise<void> {
    for (const name of await readdir(relay.delivered)) {
      if (!name.endsWith(".json")) continue; // it comes last
      const id = name.slice(0, -5);
      const path = join(relay.delivered, `${id}.eml`);
      const text = await readFile(path, "latin1");
      if (text.startsWith("Received:")) expectOurs(id, text);
      else expectReport(text);
      expect(/[^\r]\n|\r(?!\n)|\0/.test(text), `${id} has a lone CR, LF or NUL`).toBe(false);
      expect(JSON.stringify(await readFile(join(relay.delivered, name), "utf8"))).not.toMatch(/\\u00[01]/);
      delivered.add(id);
      count.messages++;
      await rm(path);
      await rm(join(relay.delivered, name));
    }
  }

  function inspectLog(): void {
    const text = relay.log();
    const end = text.lastIndexOf("\n") + 1;
    for (const line of text.slice(seen, end).split("\n").slice(0, -1)) {
      expect(logLine.exec(line)?.[1], JSON.stringify(line)).toBe(String(relay.pid));
      expect(line).not.toMatch(/: (?:bug in|panic|fatal)\b/);
      expect(line).not.toMatch(new RegExp(`\\[\\d+\\]: ${mark}`));
      count.lines++;
    }
    seen = end;
  }

  return {
    heard(text, way) {
      count.conversations++;
      if (way === "smtps-in-clear") return; // a TLS alert, or nothing
      for (const line of text.split("\r\n").slice(0, -1)) {
        count.replies++;
        expect(line).toMatch(/^[2345]\d\d(?:[ -][^\0-\x08\x0a-\x1f\x7f]*)?$/);
        expect(line).not.toMatch(new RegExp(`^${mark}`));
        const id = /^250 2\.0\.0 Ok: queued as ([0-9A-F]+)$/.exec(line)?.[1];
        if (id !== undefined) promised.add(id);
      }
    },
    async inspect() {
      const status = await readFile(`/proc/${relay.pid}/status`, "latin1");
      memory.push(Number(/VmRSS:\s+(\d+) kB/.exec(status)?.[1]) / 1_024);
      inspectLog();
      await inspectMail();
    },
    report() {
      expect(promised.size).toBeGreaterThan(0);
      expect([...promised].filter((id) => !delivered.has(id))).toEqual([]);
      const [warm, last] = [memory.slice(0, memory.length / 5 + 2), memory.slice(-memory.length / 5 - 1)].map(
        (part) => part.toSorted((one, other) => one - other)[Math.floor(part.length / 2)] ?? 0,
      );
      process.stderr.write(
        `${JSON.stringify({ ...count, promised: promised.size, MiB: memory.map(Math.round) })}\n`,
      );
      expect(last, "memory in MiB").toBeLessThan((warm ?? 0) + growth);
    },
  };
}

/** Files of messages in the spool. */
async function left({ folder }: Relay): Promise<number> {
  const found = await Promise.all(
    ["messages", "drafts", "queue"].map((name) => readdir(join(folder, "spool", name))),
  );
  return found.flat().length;
}
