/**
 * Every power cut that can happen, on a disk in memory that loses what was not fsynced: at each moment of a message's
 * life, with each part of the unsynced reaching the disk or not, also after a mere kill, and again during the next
 * start. And the reverse: no fsync is there in vain. What else is done to messages: replay.test.ts.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import type { Disk } from "../../../src/server/spool/disk.ts";
import { type JournalSettings, openSpool, type Spool } from "../../../src/server/spool/spool.ts";
import { duties, type Fact, unpaid } from "./duty.ts";
import { intercept } from "./intercept.ts";
import { type Change, type MemoryDisk, memoryDisk, powerCut } from "./memory-disk.ts";
import { toOne } from "./to-one.ts";

const directory = "/srv/spool";
const bodyOf = (id: string): string => `Message-ID: <${id}@example.org>\r\n\r\nHello\r\n`;

/** The disk of a machine on which nobody has opened a spool yet. */
const bare: readonly Change[] = [
  { path: "/srv", inode: 1 },
  { synced: "/", since: 1 },
];

/** What was done to the disk, and what the world knew when the journal had so many changes. */
interface Run {
  readonly journal: readonly Change[];
  readonly facts: readonly (Fact & { readonly at: number })[];
}

/** Who stands before the disk, if anybody. */
type Before = (disk: Disk) => Disk;
const nobody: Before = (disk) => disk;

/** One message: accepted, an attempt recorded, removed. `say` writes down what begins and what is done. */
async function wholeLife(spool: Spool, say: (what: Fact["what"], id: string, attempts: number) => void) {
  const draft = await spool.draft();
  const { id } = draft;
  say("accepting", id, 0);
  await draft.write(Buffer.from(bodyOf(id)));
  const envelope = await draft.accept(toOne);
  say("accepted", id, 0);
  say("recording", id, 1);
  await spool.record({ ...envelope, attempts: 1 });
  say("recorded", id, 1);
  say("removing", id, 1);
  await spool.remove(id);
  say("removed", id, 1);
}

/** One that is delivered at once, so that nothing is recorded. */
async function shortLife(spool: Spool, say: (what: Fact["what"], id: string, attempts: number) => void) {
  const draft = await spool.draft();
  const { id } = draft;
  say("accepting", id, 0);
  await draft.write(Buffer.from(bodyOf(id)));
  await draft.accept(toOne);
  say("accepted", id, 0);
  say("removing", id, 0);
  await spool.remove(id);
  say("removed", id, 0);
}

/** A life on a spool with or without a journal. */
interface Way {
  readonly name: string;
  readonly settings: JournalSettings | undefined;
  readonly life: typeof wholeLife;
}

const files: Way = { name: "of files", settings: undefined, life: wholeLife };
const largeOnes: Way = {
  name: "of files, too large for the journal",
  settings: { segment: 2048, largest: 20 },
  life: wholeLife,
};
const settings = { segment: 4096, largest: 1000 };
const ways: readonly Way[] = [
  files,
  { name: "of a journal, from which it moves", settings, life: wholeLife },
  { name: "of a journal, which it never leaves", settings, life: shortLife },
  largeOnes,
];

/** Opens the spool on the disk `memory` and runs so many lives side by side. */
async function run(
  memory: MemoryDisk,
  lives: number,
  before: Before = nobody,
  time = 0,
  { settings, life }: Way = files,
): Promise<Run> {
  const facts: (Fact & { at: number })[] = [];
  const spool = await openSpool(directory, () => time, before(memory), settings);
  const live = () =>
    life(spool, (what, id, attempts) => facts.push({ what, id, attempts, at: memory.journal.length }));
  await Promise.all(Array.from({ length: lives }, live));
  return { journal: memory.journal, facts };
}

/**
 * Where the power fails at any moment after `from`: every disk that may be found, as far as there are no more than `most`,
 * and what is owed then, each such pair once.
 */
function* powerCuts({ journal, facts }: Run, from: number, seen = new Set<string>(), most = 5000) {
  for (let moment = from; moment <= journal.length; moment += 1) {
    const heard = facts.filter(({ at }) => at <= moment);
    for (const disk of powerCut(journal.slice(0, moment), most)) {
      const key = JSON.stringify([[...memoryDisk(disk).files()], [...duties(heard)]]);
      if (!seen.has(key)) yield { disk, heard };
      seen.add(key);
    }
  }
}

/** Where the program is killed at any moment: the disk as the system still sees it, and what was heard. */
function* kills({ journal, facts }: Run) {
  for (let moment = bare.length; moment <= journal.length; moment += 1) {
    yield { disk: journal.slice(0, moment), heard: facts.filter(({ at }) => at <= moment) };
  }
}

/** What is wrong, a line each, with the spool after every power cut of `run`. */
async function* broken(run: Run): AsyncGenerator<string> {
  for (const { disk, heard } of powerCuts(run, bare.length)) {
    yield* await unpaid(memoryDisk(disk), directory, duties(heard), bodyOf);
  }
}

/** The same when the power fails in the life that follows a kill, or a first power cut. */
async function* brokenAgain(first: Run, before: Before = nobody, way = files): AsyncGenerator<string> {
  const seen = new Set<string>();
  const most = way.settings === undefined ? 5000 : 1; // a journal has too many to start after each of them
  const each = way.settings === undefined ? 1 : 4; // nor is there a second life after each of its states, but one in four
  const states = [...kills(first), ...powerCuts(first, bare.length, new Set(), most)];
  for (const { disk, heard } of states.filter((_, at) => at % each === 0)) {
    const second = await run(memoryDisk(disk), 1, before, 1, way); // a later time, or queue IDs would come again
    const facts = [...heard.map((fact) => ({ ...fact, at: 0 })), ...second.facts];
    for (const cut of powerCuts({ journal: second.journal, facts }, disk.length, seen, most)) {
      yield* await unpaid(memoryDisk(cut.disk), directory, duties(cut.heard), bodyOf);
    }
  }
}

async function all(lines: AsyncGenerator<string>): Promise<readonly string[]> {
  const found: string[] = [];
  for await (const line of lines) found.push(line);
  return found;
}

async function first(lines: AsyncGenerator<string>): Promise<string | undefined> {
  for await (const line of lines) return line;
  return undefined;
}

/** A disk on which one fsync is not done: of those of `path`, the one of this number from 0. */
const without =
  (path: RegExp, number: number): Before =>
  (disk) => {
    let before = 0;
    return intercept(disk, (call) => {
      if (!call.startsWith("sync ") || !path.test(call)) return "go";
      before += 1;
      return before - 1 === number ? "skip" : "go";
    });
  };

describe.each(ways)("a power cut, on a spool $name,", { timeout: 300_000 }, (way) => {
  const lives = (disk: MemoryDisk, count: number): Promise<Run> => run(disk, count, nobody, 0, way);

  it("breaks no promise, whenever it comes and whatever part of the unsynced it spares", async () => {
    expect(await all(broken(await lives(memoryDisk(bare), 1)))).toEqual([]);
  });

  it("breaks none when it follows a kill, or another power cut", async () => {
    expect(await all(brokenAgain(await lives(memoryDisk(bare), 1), nobody, way))).toEqual([]);
  });

  it("breaks none among messages that come and go side by side, in any order of their steps", async () => {
    const moment = fc.nat({ max: 1000 });
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), moment, async (scheduler, permille) => {
        const disk = memoryDisk(bare, () => scheduler.schedule(Promise.resolve()));
        const { journal, facts } = await scheduler.waitFor(lives(disk, 3));
        const end = Math.max(bare.length, Math.ceil((journal.length * permille) / 1000));
        const heard = facts.filter(({ at }) => at <= end);
        for (const cut of powerCut(journal.slice(0, end), 1)) {
          expect(await unpaid(memoryDisk(cut), directory, duties(heard), bodyOf)).toEqual([]);
        }
      }),
      { numRuns: way.settings === undefined ? 100 : 10 },
    );
  });
});

describe("each fsync is needed:", { timeout: 120_000 }, () => {
  const inLife: readonly [string, RegExp, number][] = [
    ["of the folder of bodies, before the promise", /messages$/, 0],
    ["of the body, before the promise", /messages\/\w+$/, 0],
    ["of the envelope, before the promise", /drafts\/\w+$/, 0],
    ["of the queue, after the promise", /queue$/, 1],
    ["of the next envelope, before it takes the place of the last", /drafts\/\w+$/, 1],
    ["of the queue, after that", /queue$/, 2],
    ["of the queue, between the envelope's removal and the body's", /queue$/, 3],
  ];
  it.each(inLife)("%s", async (_, path, number) => {
    const lines = broken(await run(memoryDisk(bare), 1, without(path, number)));
    expect(await first(lines)).toMatch(/is lost|is damaged|came back|forgot/);
  });

  const inStart: readonly [string, RegExp, number][] = [
    ["of the folder above the spool", /srv$/, 0],
    ["of the format, before it gets its name", /format\.new$/, 0],
    ["of the spool, before its folders are made", /spool$/, 0],
    ["of the spool, when its folders are made", /spool$/, 1],
    ["of the queue, before the sweep", /queue$/, 0],
  ];
  it.each(inStart)("%s, at every start", async (_, path, number) => {
    const lines = brokenAgain(await run(memoryDisk(bare), 1), without(path, number));
    expect(await first(lines)).toMatch(/is lost|is damaged|not a spool|expected "tpa-submit spool 2"/);
  });
});
