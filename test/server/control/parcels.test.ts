/**
 * Parcels into a spool on a disk in memory: stopped before each change of the disk, and cut from its power there. Whatever the
 * moment, what was answered is there, and what is sent again comes once.
 */
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { newActionContext } from "../../../src/server/control/actions.ts";
import { newFreezeHold, openFrozenLogins } from "../../../src/server/control/frozen-logins.ts";
import { newParcelTaker } from "../../../src/server/control/parcels.ts";
import type { ParcelAnswer } from "../../../src/server/control/protocol.ts";
import { logTo } from "../../../src/server/log/log.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import { settleImports } from "../../../src/server/spool/imports.ts";
import { claimSpool } from "../../../src/server/spool/owner.ts";
import { formatLine } from "../../../src/server/spool/parcel.ts";
import { openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { accepted, envelope } from "../delivery/fixtures.ts";
import { patience } from "../queue/test-scheduler.ts";
import { intercept } from "../spool/intercept.ts";
import { type Change, memoryDisk, powerCut } from "../spool/memory-disk.ts";

const directory = "/spool";
const by = { name: "root", uid: 0 };
const sender = {
  kind: "take",
  handover: "a".repeat(32),
  spool: "b".repeat(32),
  host: "old.example.org",
} as const;
const ids = ["4F2A9C01B7E0", "4F2A9C01B7E1", "4F2A9C01B7E2"];
const bodyOf = (id: string): string => `Subject: ${id}\r\n\r\n${"x".repeat(id === ids[2] ? 3000 : 30)}\r\n`;

async function* parcel(): AsyncGenerator<Uint8Array> {
  yield formatLine({ is: "sender", sender });
  for (const id of ids) {
    const body = bodyOf(id);
    yield formatLine({ is: "message", envelope: envelope({ id, size: body.length }), history: [] });
    for (const octet of [body.slice(0, 7), body.slice(7), "\n"]) yield Buffer.from(octet);
  }
}

beforeEach(() => logTo(() => undefined));
afterEach(() => logTo(() => undefined));

/** A relay that starts, and delivers nothing by itself. */
async function started(disk: Disk, journal: { segment: number; largest: number } | undefined) {
  const now = (): number => accepted + 60_000;
  const spool = await openSpool(directory, now, disk, journal);
  const owner = await claimSpool(disk, directory, "heir.example.org", async () => 0);
  await settleImports(disk, directory, (id) => spool.has(id));
  const frozen = await openFrozenLogins("/nonexistent/frozen");
  const sessions = {
    sessionsOf: () => 0,
    endSessions: () => 0,
    limitsOf: () => [],
    blocksOf: () => [],
    unblock: () => 0,
    whyUnknown: async () => "",
    sent: () => ({ messages: 0, recipients: 0 }),
    addSent: () => undefined,
  };
  const context = newActionContext({
    spool,
    frozen,
    freezeHold: newFreezeHold(frozen),
    sessions,
    relayState: async () => undefined,
    retryPolicy: patience,
    now,
    hostname: "heir.example.org",
  });
  return { spool, take: newParcelTaker(context, { disk, directory, owner }) };
}

/** Delivers all that is promised, and lets it go. */
async function deliver(spool: Spool): Promise<readonly string[]> {
  const bodies: string[] = [];
  for (const id of await spool.ids()) {
    bodies.push(await text(spool.body(id)));
    await spool.remove(id);
  }
  return bodies;
}

async function told(answers: AsyncIterable<ParcelAnswer>): Promise<readonly string[]> {
  const done: string[] = [];
  for await (const answer of answers) if ("id" in answer && answer.outcome !== "failed") done.push(answer.id);
  return done;
}

const stop = Object.assign(new Error("stopped"), { code: "EIO" });

/** Takes the parcel; the program ends before call `most` to the disk. Resolves to what the sender heard. */
async function until(most: number, journal: Parameters<typeof started>[1]) {
  const disk = memoryDisk();
  let calls = -1;
  const stopping = intercept(disk, () => {
    if (calls >= 0) calls += 1;
    if (calls > most) throw stop;
    return "go";
  });
  const { take } = await started(stopping, journal);
  calls = 0;
  const heard: string[] = [];
  let isOver = false;
  try {
    for await (const answer of take(parcel(), by)) {
      if ("id" in answer && answer.outcome === "done") heard.push(answer.id);
    }
    isOver = calls <= most;
  } catch (error) {
    if (error !== stop) throw error;
  }
  return { changes: disk.journal, heard, isOver };
}

/** What is wrong after a start on that disk, a delivery of what is there, and the parcel once more. */
async function faults(
  changes: readonly Change[],
  heard: readonly string[],
  journal: Parameters<typeof started>[1],
) {
  const { spool, take } = await started(memoryDisk(changes), journal);
  const early = await deliver(spool);
  const lost = heard.filter((id) => !early.includes(bodyOf(id)));
  const again = await told(take(parcel(), by));
  const late = await deliver(spool);
  await spool.close();
  const all = [...early, ...late].sort();
  const wanted = ids.map(bodyOf).sort();
  return {
    lost,
    unanswered: ids.filter((id) => !again.includes(id)),
    wrong: JSON.stringify(all) === JSON.stringify(wanted) ? [] : all.map((body) => body.slice(0, 24)),
  };
}

const sound = { lost: [], unanswered: [], wrong: [] };

describe.each([
  ["without a journal", undefined],
  ["with one", { segment: 16_384, largest: 1000 }],
] as const)("a spool %s that takes a parcel", { timeout: 300_000 }, (_, journal) => {
  test("and is stopped before any change of the disk has each message once", async () => {
    let isOver = false;
    let stops = 0;
    for (; !isOver; stops += 1) {
      const end = await until(stops, journal);
      ({ isOver } = end);
      expect(await faults(end.changes, end.heard, journal), `call ${stops}`).toEqual(sound);
    }
    expect(stops).toBeGreaterThan(15); // or the calls are not the ones that were meant
  });

  test("and loses its power there has what it answered, and each message once", async () => {
    let isOver = false;
    for (let stops = 0; !isOver; stops += 1) {
      const end = await until(stops, journal);
      ({ isOver } = end);
      for (const changes of powerCut(end.changes, 100)) {
        expect(await faults(changes, end.heard, journal), `call ${stops}`).toEqual(sound);
      }
    }
  });
});
