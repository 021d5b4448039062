/** Rounds of a route whose mailbox is a real Maildir and whose submission server is the test. */
import { mkdir, mkdtemp, readdir, rm, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { exitStatus, Failure } from "../../../src/failure.ts";
import { openMaildir } from "../../../src/probe/arrival/maildir.ts";
import { openPending } from "../../../src/probe/monitor/pending.ts";
import {
  lookAgain,
  type MonitoredRoute,
  type MonitorRoundDependencies,
  runRound,
} from "../../../src/probe/monitor/round.ts";
import type { SubmissionResult } from "../../../src/probe/monitor/submit.ts";

let folder: string;
let dependencies: MonitorRoundDependencies;
let time: number;
/** What is to happen when the clock comes to a moment. */
let events: { readonly at: number; readonly act: () => Promise<void> }[];
const { signal } = new AbortController();

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "round-"));
  for (const part of ["mail/new", "mail/cur", "mail/.Junk/new", "mail/.Junk/cur"])
    await mkdir(join(folder, part), { recursive: true });
  time = Date.parse("2026-11-22T12:00:00Z");
  events = [];
  let seed = 0;
  dependencies = {
    key: Buffer.alloc(32, 7),
    pending: await openPending(join(folder, "pending")),
    now: () => time,
    random: (count) => Buffer.alloc(count, ++seed),
    keep: 7 * 86_400_000,
    async pause(milliseconds) {
      time += milliseconds;
      for (const event of events.filter(({ at }) => at <= time)) {
        events = events.filter((one) => one !== event);
        await event.act();
      }
    },
  };
});
afterEach(() => rm(folder, { recursive: true, force: true }));

let count = 0;
async function put(message: Buffer | string, place = "new", at = time): Promise<void> {
  const file = join(folder, "mail", place, String(++count));
  await writeFile(file, message);
  await utimes(file, at / 1000, at / 1000);
}

function route(
  onSubmit: (message: Buffer) => Promise<SubmissionResult | undefined>,
  more: Partial<MonitoredRoute> = {},
): MonitoredRoute {
  return {
    route: "net",
    provider: "example.net",
    warn: 60_000,
    crit: 600_000,
    grades: {},
    from: "probe@example.org",
    to: "x@example.net",
    mailboxes: [() => openMaildir(join(folder, "mail"))],
    limit: (work) => work(),
    submit: async (_, message) => (await onSubmit(message)) ?? { kind: "submitted", took: 100 },
    ...more,
  };
}

/** The message arrives so many milliseconds after it was sent. */
const arriving = (after: number, place = "new", change = (message: Buffer): Buffer | string => message) =>
  route(async (message) => {
    const at = time + after;
    events.push({ at, act: () => put(change(message), place, at) });
  });

const underWay = async (): Promise<number> => (await readdir(join(folder, "pending"))).length;
const brief = ({ outcome, words }: { readonly outcome: string; readonly words: string }): string =>
  `${outcome}: ${words}`;

describe("a round", () => {
  test("finds the message in the inbox, and ends then", async () => {
    const begun = time;
    const { ended, state: standing } = await runRound(arriving(2000), dependencies, 60_000, signal);
    expect(ended.map(brief)).toEqual(["inbox: in INBOX after 2.0 s"]);
    expect(standing).toMatchObject({ outcome: "inbox", grade: 0, after: 2000, submitted: 100 });
    expect(time - begun).toBeLessThan(5000);
    expect(await underWay()).toBe(0);
  });

  test("finds it in spam", async () => {
    const { state: standing } = await runRound(arriving(1000, ".Junk/new"), dependencies, 60_000, signal);
    expect(brief(standing)).toBe("spam: in the spam folder Junk after 1.0 s");
  });

  test("waits no longer than it may, and the next one tells of what came meanwhile", async () => {
    const begun = time;
    const first = await runRound(arriving(100_000), dependencies, 30_000, signal);
    expect(first.ended).toEqual([]);
    expect(brief(first.state)).toBe("pending: on its way for 30 s");
    expect(time - begun).toBe(30_000);
    await dependencies.pause(300_000, signal);
    const second = await runRound(arriving(1000), dependencies, 30_000, signal);
    expect(second.ended.map(brief)).toEqual([
      "late: in INBOX after 100 s, which is late",
      "inbox: in INBOX after 1.0 s",
    ]);
    expect(second.state.outcome).toBe("late");
    expect(await underWay()).toBe(0);
  });

  test("tells of a delay, and of a loss when it is one, once", async () => {
    const first = await runRound(
      route(async () => undefined),
      dependencies,
      90_000,
      signal,
    );
    expect(brief(first.state)).toBe("delayed: on its way for 90 s");
    await dependencies.pause(600_000, signal);
    const second = await runRound(arriving(1000), dependencies, 30_000, signal);
    expect(second.ended.map(({ outcome }) => outcome)).toEqual(["inbox", "lost"]);
    expect(second.state).toMatchObject({ outcome: "lost", grade: 2 });
    const third = await runRound(arriving(1000), dependencies, 30_000, signal);
    expect(third.ended.map(({ outcome }) => outcome)).toEqual(["inbox"]);
  });

  test("understands the report of a message that came back", async () => {
    const bounce = (message: Buffer): string => {
      const id = /^Message-ID: <([0-9a-f]{32})@/m.exec(message.toString())?.[1] ?? "";
      return `From: <>\r\nContent-Type: multipart/report; boundary=b\r\n\r\n--b\r\nContent-Type: message/delivery-status\r\n\r\nReporting-MTA: dns; relay.example.org\r\nOriginal-Envelope-Id: ${id}\r\n\r\nAction: failed\r\nStatus: 5.1.1\r\nDiagnostic-Code: smtp; 550 5.1.1 no such user\r\n\r\n--b--\r\n`;
    };
    const { state: standing } = await runRound(arriving(1000, "new", bounce), dependencies, 60_000, signal);
    expect(brief(standing)).toBe(
      "returned: returned after 1.0 s by relay.example.org: 550 5.1.1 no such user",
    );
  });

  test("is not taken in by a forged mark, nor by the mark of another probe", async () => {
    const forged = (message: Buffer): string =>
      message.toString().replace(/\.[\w-]{43}\r\n/, `.${"A".repeat(43)}\r\n`);
    const { state: standing } = await runRound(arriving(1000, "new", forged), dependencies, 5000, signal);
    expect(standing.outcome).toBe("pending");
  });

  test.each([
    [
      { kind: "refused", step: "RCPT TO", reply: "550 5.7.1 no" },
      "refused: refused at RCPT TO: 550 5.7.1 no",
    ],
    [{ kind: "down", reason: "Connection refused" }, "down: not to be submitted: Connection refused"],
  ] satisfies readonly (readonly [SubmissionResult, string])[])(
    "that cannot submit says %j",
    async (submitted, words) => {
      const { ended, state: standing } = await runRound(
        route(async () => submitted),
        dependencies,
        60_000,
        signal,
      );
      expect(brief(standing)).toBe(words);
      expect(ended).toEqual([standing]);
      expect(await underWay()).toBe(0);
    },
  );

  test("that cannot look says so, and what was sent is looked for later", async () => {
    const blind = async (): Promise<never> => {
      throw new Failure(exitStatus.unavailable, "the mailbox cannot be looked at: no login");
    };
    const first = await runRound({ ...arriving(1000), mailboxes: [blind] }, dependencies, 5000, signal);
    expect(first.state).toMatchObject({
      outcome: "unseen",
      grade: 3,
      words: "the mailbox cannot be looked at: no login",
    });
    await dependencies.pause(1_000_000, signal);
    expect(
      (await lookAgain(arriving(0), dependencies, signal)).map(({ outcome, after }) => [outcome, after]),
    ).toEqual([["inbox", 1000]]);
  });

  test("beside another tells each thing once", async () => {
    await runRound(
      route(async () => undefined),
      dependencies,
      1000,
      signal,
    );
    await dependencies.pause(700_000, signal);
    const both = await Promise.all([
      lookAgain(arriving(0), dependencies, signal),
      lookAgain(arriving(0), dependencies, signal),
    ]);
    expect(both.flat().map(({ outcome }) => outcome)).toEqual(["lost"]);
  });

  test("deletes its own mail when that is old", async () => {
    await runRound(arriving(1000), dependencies, 60_000, signal);
    await put("Subject: other\r\n\r\n");
    expect(await readdir(join(folder, "mail/new"))).toHaveLength(2);
    await dependencies.pause(8 * 86_400_000, signal);
    await runRound(arriving(1000), dependencies, 60_000, signal);
    expect(await readdir(join(folder, "mail/new"))).toHaveLength(2); // the other, and the newest
  });
});
