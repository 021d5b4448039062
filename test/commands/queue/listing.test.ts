/**
 * A queue that is long enough to be read by threads, from the disk or from what a relay knows: what is printed is what one
 * message after the other would be.
 */
import { chmod, mkdir, open, readdir, rename, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test, vi } from "vitest";
import { prepareRelay, program, type Relay } from "../../../demo/relay.mjs";
import { tableLines } from "../../../src/cli/table.ts";
import { listSpool } from "../../../src/commands/queue/listing.ts";
import { columns, jsonOf, rowOf } from "../../../src/commands/queue/output.ts";
import { namers, type RowForm, rowMaker } from "../../../src/commands/queue/rows.ts";
import { knownToRelay } from "../../../src/server/control/client.ts";
import { newFreezeHold, readerWithFreezes } from "../../../src/server/control/frozen-logins.ts";
import type { DamagedMessage, MessageFilter, QueuedMessage } from "../../../src/server/control/protocol.ts";
import { list } from "../../../src/server/control/query.ts";
import { systemDisk } from "../../../src/server/spool/disk.ts";
import type { Envelope } from "../../../src/server/spool/envelope.ts";
import { formatEnvelope } from "../../../src/server/spool/envelope-file.ts";
import { openSpool, viewSpool } from "../../../src/server/spool/spool.ts";
import { envelope } from "../../server/delivery/fixtures.ts";
import { toOne } from "../../server/spool/to-one.ts";
import { run } from "../../tools/child.mjs";
import { until } from "../../tools/until.ts";
import { well } from "./operator.ts";

vi.setConfig({ testTimeout: 120_000, hookTimeout: 120_000 });

const body = "Subject: hello\r\n\r\nhello\r\n";
const files = 5_600;
/** Half an hour past: no age changes its unit while the test runs. */
const accepted = Date.now() - 5_400_000;
/** No relay tries any of them while the test runs. */
const due = Date.now() + 600_000;
const frozen = { login: "user3", at: accepted, by: "root", reason: "stolen" };

let relay: Relay;
let spool: string;

const idOf = (time: number): string => (time * 16).toString(16).toUpperCase().padStart(12, "0");

/** Of the message `number`, among which there are all kinds. */
function envelopeOf(id: string, number: number): Envelope {
  const reply = {
    code: 451,
    status: "4.7.1",
    text: `Greylisted\ttry "${number}" later \u001b[31m`,
    relay: "mx.example.net[192.0.2.1]:25",
    command: "RCPT TO",
    at: accepted,
  };
  return envelope({
    id,
    accepted,
    due,
    size: body.length,
    login: number % 7 === 0 ? null : `user${number % 5}`,
    sender: number % 11 === 0 ? "" : `user${number}@example.org`,
    attempts: number % 3,
    recipients: [
      { address: `zoë${number}@example.net`, state: "waiting", ...(number % 2 === 0 && { reply }) },
      { address: `r${number}@example.com`, state: number % 4 === 0 ? "delivered" : "waiting" },
    ],
    ...(number % 13 === 0 && { held: { at: accepted, by: "root", reason: "odd" } }),
    ...(number % 17 === 0 && { envid: "abc", warned: true }),
  });
}

beforeAll(async () => {
  relay = await prepareRelay();
  spool = join(relay.folder, "spool");
  const settings = { segment: 65_536, largest: 4_096 };
  // Some in the journal, between the others in their order, of which some have moved.
  let clock = accepted + 1_000;
  const opened = await openSpool(spool, () => clock, systemDisk, settings);
  const records: string[] = [];
  for (let number = 0; number < 400; number++) {
    clock += 3;
    const draft = await opened.draft();
    await draft.write(Buffer.from(body.padEnd(700, "x")));
    records.push((await draft.accept({ ...toOne, accepted, due })).id);
  }
  const [moved = "", dropped = ""] = records;
  const first = await opened.read(moved);
  if ("damaged" in first) throw new Error(first.damaged);
  await opened.record({ ...first, attempts: 1 });
  await opened.remove(dropped);
  await opened.close();
  await damageRecord();
  const names = Array.from({ length: files }, (_, number) => idOf(accepted + number));
  const there = new Set(records);
  await Promise.all(
    names.map(async (id, number) => {
      if (there.has(id)) return;
      await writeFile(join(spool, "queue", id), formatEnvelope(envelopeOf(id, number)));
      await writeFile(join(spool, "messages", id), body);
    }),
  );
  const [a = "", b = "", c = "", d = "", e = ""] = names.slice(100);
  await writeFile(join(spool, "queue", a), "no envelope \u0000\t\n");
  await rm(join(spool, "messages", b));
  await writeFile(join(spool, "messages", c), "longer than it should be, by far");
  await rm(join(spool, "queue", d));
  await mkdir(join(spool, "queue", d));
  await rm(join(spool, "queue", e));
  await writeFile(join(spool, "queue", "notes"), "not ours");
  await writeFile(join(spool, "frozen"), `${JSON.stringify(frozen)}\n`);
  await chmod(join(spool, "frozen"), 0o600);
});
afterAll(() => relay.stop());

/** The message of a record is not as it was written. */
async function damageRecord(): Promise<void> {
  const [segment = ""] = (await readdir(join(spool, "journal"))).filter((name) => /^\d+-/.test(name)).sort();
  const file = await open(join(spool, "journal", segment), "r+");
  try {
    const { buffer, bytesRead } = await file.read(Buffer.alloc(65_536), 0, 65_536, 0);
    const at = buffer.subarray(0, bytesRead).lastIndexOf("xxx");
    await file.write("y", at);
  } finally {
    await file.close();
  }
}

type Listed = readonly (QueuedMessage | DamagedMessage)[];

/** By filter: what the disk has, until somebody changes it. */
const read = new Map<string, Promise<Listed>>();

function expected(filter: MessageFilter): Promise<Listed> {
  const key = JSON.stringify(filter);
  const found = read.get(key) ?? readOneByOne(filter);
  read.set(key, found);
  return found;
}

/** One message after the other, as they are read without threads. */
async function readOneByOne(filter: MessageFilter): Promise<Listed> {
  const reader = readerWithFreezes(
    await viewSpool(spool),
    newFreezeHold({ of: (login) => (login === frozen.login ? frozen : undefined) }),
  );
  const view = {
    spool: reader,
    frozen: { all: () => [frozen] },
    active: () => new Set<string>(),
    now: Date.now,
  };
  const found: (QueuedMessage | DamagedMessage)[] = [];
  for await (const one of list({ verb: "list", filter }, view)) if (one.status !== "unknown") found.push(one);
  return found;
}

async function said(...words: readonly string[]): Promise<string> {
  const { status, stdout, stderr } = await run(process.execPath, [
    program,
    "queue",
    ...words,
    "--config",
    relay.config,
  ]);
  expect(stderr).toMatch(/^(\d+ messages for \d+ recipients\n)?$/);
  expect(status).toBe(0);
  return stdout;
}

async function whole(lines: AsyncIterable<string>): Promise<string> {
  let text = "";
  for await (const line of lines) text += line;
  return text;
}

/** What is printed is what each of the messages says on the disk. */
async function expectListed(words: readonly string[], filter: MessageFilter): Promise<void> {
  const messages = await expected(filter);
  expect(await said("list", "--json", ...words)).toBe(
    messages.map((one) => `${JSON.stringify(jsonOf(one))}\n`).join(""),
  );
  const now = Date.now();
  const rows = messages.map((one) => rowOf(one, now, false));
  async function* eachRow() {
    yield* rows;
  }
  expect(await said("list", ...words)).toBe(await whole(tableLines(columns, eachRow(), undefined)));
}

test("has all kinds of messages", async () => {
  const messages = await expected({});
  expect(messages.length).toBeGreaterThan(5_500);
  expect(
    messages.filter(({ status }) => status === "damaged").map((one) => "reason" in one && one.reason),
  ).toHaveLength(5);
});

async function expectCounted(): Promise<void> {
  const counts = new Map<string, number>();
  for (const one of await expected({})) {
    if (one.status === "damaged") continue;
    for (const name of namers.domain(one)) counts.set(name, (counts.get(name) ?? 0) + 1);
  }
  const lines = (await said("summary", "--json")).trimEnd().split("\n");
  expect(
    new Map(
      lines.map((line) => {
        const { domain, total } = JSON.parse(line) as { readonly domain: string; readonly total: number };
        return [domain, total];
      }),
    ),
  ).toEqual(counts);
}

test("is counted as each of them is", expectCounted);

const forms: readonly { readonly words: readonly string[]; readonly filter: MessageFilter }[] = [
  { words: [], filter: {} },
  { words: ["--user", "user3"], filter: { user: "user3" } },
  { words: ["--status", "damaged"], filter: { status: "damaged" } },
  { words: ["--status", "held"], filter: { status: "held" } },
  { words: ["--error", "GREYLISTED"], filter: { error: "GREYLISTED" } },
];

test.each(forms)("is listed as each of them is, $words", ({ words, filter }) => expectListed(words, filter));

test("is read in this thread where others cannot be started", async () => {
  const form: RowForm = { as: "json" };
  const order = { directory: spool, filter: {}, form, now: Date.now(), frozen: [frozen], active: [] };
  const found: string[] = [];
  for await (const rows of listSpool(order)) found.push(...rows.map(({ text }) => text)); // its thread is in dist/ alone
  const rowOfMessage = rowMaker(form, order.now);
  expect(found).toEqual((await expected({})).map((one) => rowOfMessage(one).text));
});

describe("beside a relay, which knows them", () => {
  async function known(): Promise<number | undefined> {
    const found = await knownToRelay(join(spool, "control"));
    for await (const _ of found?.octets ?? []) break; // and the connection ends
    return found?.messages;
  }

  beforeAll(async () => {
    await relay.start();
    await until("all to be known", known);
  });

  const some = forms.filter(({ filter }) => filter.user === undefined && filter.error === undefined);
  test.each(some)("is listed as each of them is on the disk, $words", ({ words, filter }) =>
    expectListed(words, filter),
  );

  test("is counted as each of them is", expectCounted);

  test("is listed as operators change it, and as messages come", async () => {
    const ids = (await expected({ status: "deferred" })).map(({ id }) => id);
    const [held = "", redirected = "", dropped = ""] = ids;
    await well(relay, "hold", held, "--reason", "odd", "--yes");
    await well(relay, "redirect", redirected, "--relay", "smtp://127.0.0.1:9", "--yes");
    await well(relay, "drop", dropped, "--yes");
    read.clear();
    const [record = ""] = (await expected({ status: "waiting" })).map(({ id }) => id);
    await well(relay, "hold", record, "--yes");
    read.clear();
    expect(await known()).toBe((await expected({})).length);
    await expectListed([], {});
    await expectListed(["--status", "held"], { status: "held" });
    await well(relay, "thaw", frozen.login, "--yes");
    expect((await said("list", "--json", "--status", "held")).split("\n").length).toBeLessThan(
      (await expected({ status: "held" })).length,
    );
  });

  test("is not read for that", async () => {
    const [first] = await expected({ user: "user1" });
    const file = join(spool, "queue", first?.id ?? "");
    await rename(file, `${file}.away`);
    read.clear();
    expect(await expected({ user: "user1" })).not.toContainEqual(first);
    expect(await said("list", "--user", "user1")).toContain(first?.id);
    await rename(`${file}.away`, file);
  });
});
