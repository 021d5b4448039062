/** How the queue is written down: golden files in test/commands/queue/forms, and what other people's programs make of them. */

import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { visible, visibleLines } from "../../../src/cli/output.ts";
import { tableLines } from "../../../src/cli/table.ts";
import { freezeText } from "../../../src/commands/queue/freeze.ts";
import { ageText, columns, jsonOf, mailqLines, rowOf, sizeText } from "../../../src/commands/queue/output.ts";
import { namers, rowMaker } from "../../../src/commands/queue/rows.ts";
import { factsOf } from "../../../src/commands/queue/show.ts";
import * as summary from "../../../src/commands/queue/summary.ts";
import type { DamagedMessage, QueuedMessage } from "../../../src/server/control/protocol.ts";
import { statusOf } from "../../../src/server/control/query.ts";
import type { Envelope, LastReply } from "../../../src/server/spool/envelope.ts";
import { accepted, envelope, recipient } from "../../server/delivery/fixtures.ts";

const zone = process.env["TZ"];
beforeAll(() => {
  process.env["TZ"] = "UTC";
});
afterAll(() => {
  if (zone === undefined) delete process.env["TZ"];
  else process.env["TZ"] = zone;
});

const golden = (name: string): string => fileURLToPath(new URL(join("forms", name), import.meta.url));
const minute = 60_000;
const now = accepted + 100 * minute;

const later: LastReply = {
  code: 451,
  status: "4.7.1",
  text: "Greylisted, try again later",
  relay: "mx.example.net[192.0.2.1]:25",
  command: "RCPT TO",
  at: accepted + minute,
};
const refused: LastReply = {
  ...later,
  code: 451,
  status: "4.4.1",
  text: "connect to 192.0.2.9: Connection refused",
  relay: "none",
  command: "",
};
const taken: LastReply = { ...later, code: 250, status: "2.0.0", text: "Ok", command: "end of DATA" };

function queued(more: Partial<Envelope>, isActive = false): QueuedMessage {
  const made = envelope(more);
  return { id: made.id, status: statusOf(made, isActive), envelope: made };
}

const messages: readonly (QueuedMessage | DamagedMessage)[] = [
  queued({
    id: "65D3997B8000",
    size: 1234,
    attempts: 3,
    due: now + 12 * minute,
    warned: true,
    envid: "abc",
    recipients: [
      recipient("b@example.net", { reply: later }),
      recipient("c@example.net", { reply: later }),
      recipient("someone.with.a.rather.long.name@department.example.com", { reply: refused }),
      recipient("done@example.net", { state: "delivered", reply: taken }),
    ],
  }),
  queued(
    { id: "65D3997B8010", login: "user2", sender: "user2@example.org", accepted: now - 2 * minute },
    true,
  ),
  queued({
    id: "65D3997B8020",
    accepted: accepted + 90 * minute,
    size: 52_428_800,
    relay: "smtp://relay.example.org:25",
    held: { at: now - minute, by: "root (uid 0, sudo by user1)", reason: "odd \x1b[31mvolume" },
  }),
  queued({
    id: "65D3997B8030",
    login: null,
    sender: "",
    accepted: now,
    smtputf8: true,
    recipients: [recipient("zoë@example.net")],
  }),
  {
    id: "65D3997B8040",
    status: "damaged",
    reason: '/spool/queue/65D3997B8040: expected a JSON object, found ""',
  },
];

async function* these<Item>(items: readonly Item[]): AsyncGenerator<Item> {
  yield* items;
}

async function whole(lines: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const line of lines) text += line;
  return text;
}

const table = (width: number | undefined): Promise<string> =>
  whole(tableLines(columns, these(messages.map((one) => rowOf(one, now, width !== undefined))), width));

describe("the list", () => {
  test.each([60, 80, 120])("fits a terminal of %d columns", async (width) => {
    const text = await table(width);
    await expect(text).toMatchFileSnapshot(golden(`list-${width}.txt`));
    expect(Math.max(...text.split("\n").map((line) => Array.from(line).length))).toBeLessThanOrEqual(width);
  });

  test("is complete in a pipe", async () => {
    const text = await table(undefined);
    await expect(text).toMatchFileSnapshot(golden("list-pipe.txt"));
    expect(text).toContain(
      "b@example.net,c@example.net,someone.with.a.rather.long.name@department.example.com",
    );
  });

  test("is JSON with the keys of postqueue -j", async () => {
    const text = messages.map((one) => `${JSON.stringify(jsonOf(one))}\n`).join("");
    await expect(text).toMatchFileSnapshot(golden("list.ndjson"));
    expect(Object.keys(jsonOf(messages[0] ?? queued({}))).slice(0, 7)).toEqual([
      "queue_name",
      "queue_id",
      "arrival_time",
      "message_size",
      "forced_expire",
      "sender",
      "recipients",
    ]);
  });
});

/** What check_mailq of the Nagios plugins makes of Postfix's mailq: it reads the last line first. */
function checkMailq(text: string): number | undefined {
  const [last = ""] = text.trimEnd().split("\n").reverse();
  if (/Mail queue is empty/.test(last)) return 0;
  const found = /^--\s+(\d+)\s+Kbytes\s+in\s+(\d+)\s+Request/.exec(last);
  return found ? Number(found[2]) : undefined;
}

describe("--format mailq", () => {
  test("is what Postfix writes", async () => {
    await expect(
      await whole(mailqLines(these([messages.map(rowMaker({ as: "mailq" }, now))]))),
    ).toMatchFileSnapshot(golden("mailq.txt"));
  });

  test.each([0, 1, 2, 5])("tells check_mailq of %d messages", async (count) => {
    const text = await whole(
      mailqLines(these([messages.slice(0, count).map(rowMaker({ as: "mailq" }, now))])),
    );
    expect(checkMailq(text)).toBe(count);
    expect(
      text.endsWith(count === 1 ? "Request.\n" : count === 0 ? "Mail queue is empty\n" : "Requests.\n"),
    ).toBe(true);
  });
});

describe("the summary", () => {
  const old = (minutes: number): QueuedMessage => queued({ accepted: now - minutes * minute });
  const many = [
    ...messages.filter((one): one is QueuedMessage => "envelope" in one),
    ...[0, 4, 5, 19, 300, 2000].map(old),
  ];

  test.each(["domain", "sender", "login"] as const)("counts by %s and age", async (by) => {
    const tally = summary.newTally(now);
    for (const one of many) tally.add([one.envelope.accepted, namers[by](one)]);
    const text = await whole(tableLines(summary.columns, summary.cells(tally.rows()), 80));
    await expect(text).toMatchFileSnapshot(golden(`summary-${by}.txt`));
  });
});

test("a message's facts are one line each, whatever strangers put in", async () => {
  const lines = messages.flatMap((one) =>
    "envelope" in one
      ? [one.id, ...factsOf(one, now).map(([name, text]) => `${name}: ${visible(text)}`), ""]
      : [],
  );
  await expect(lines.join("\n")).toMatchFileSnapshot(golden("show.txt"));
});

test("a freeze is told in numbers", async () => {
  const frozen = {
    login: "user1",
    unheardOf: "",
    already: false,
    sessions: 2,
    held: 5,
    active: 1,
    lastHour: { accepted: 412, here: 5 },
    lastDay: { accepted: 2000, here: 12 },
  };
  await expect(freezeText(frozen)).toMatchFileSnapshot(golden("freeze.txt"));
});

test.each([
  [0, "0s"],
  [59_999, "59s"],
  [minute, "1m"],
  [7_199_999, "1h"],
  [172_800_000, "2d"],
])("%d milliseconds are %s", (milliseconds, text) => {
  expect(ageText(milliseconds)).toBe(text);
});

test.each([
  [0, "0"],
  [1023, "1023"],
  [1024, "1.0K"],
  [52_428_800, "50M"],
  [2 ** 42, "4096G"],
])("%d octets are %s", (octets, text) => {
  expect(sizeText(octets)).toBe(text);
});

test("shows what would not be seen", () => {
  expect(visible("a\x1b[2J\r\nb\u202ec\x9b")).toBe("a\\x1b[2J\\x0d\\x0ab\\u202ec\\x9b");
  expect(visibleLines("a\r\n\tb\rc\x07")).toBe("a\n\tb\\x0dc\\x07");
});
