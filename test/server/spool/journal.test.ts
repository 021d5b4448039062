/**
 * The journal on a disk in memory: after every power cut and every kill each promised message is there, none that is done
 * with comes back, and none is invented; and each fsync is needed for that.
 */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { sharingSyncs } from "../../../src/durable.ts";
import type { Disk } from "../../../src/server/spool/disk.ts";
import { type Journal, type JournalMessage, openJournal } from "../../../src/server/spool/journal.ts";
import { type Ahead, intercept } from "./intercept.ts";
import { type Change, memoryDisk, powerCut } from "./memory-disk.ts";

const path = "/srv/spool/journal";
const size = 2048;

const bare: readonly Change[] = [
  { path: "/srv", inode: 1 },
  { path: "/srv/spool", inode: 2 },
  { path, inode: 3 },
  ...["/", "/srv", "/srv/spool"].map((synced) => ({ synced, since: 3 })),
];

const idOf = (number: number): string => `1A203997B8${String(number).padStart(2, "0")}`;

/** A message of some hundred octets, which differ. */
function messageOf(number: number, octets = 120): JournalMessage {
  const id = idOf(number);
  const body = Buffer.from(`Message-ID: <${id}@example.org>\r\n\r\n`.padEnd(octets, `${id}\r\n`));
  return {
    id,
    envelope: JSON.stringify({ version: 2, id }),
    body: [body.subarray(0, 10), body.subarray(10)],
  };
}

const textOf = ({ body }: JournalMessage): string => Buffer.concat(body).toString();

async function open(disk: Disk, isInQueue: (id: string) => boolean = () => false): Promise<Journal> {
  let marks = 0;
  for (const name of await disk.list(path)) marks += name.length; // never the same again
  const drawMark = (): string => {
    marks += 1;
    return marks.toString(16).toUpperCase().padStart(16, "0");
  };
  const folder = sharingSyncs(await disk.openDirectory(path));
  const journal = await openJournal(disk, folder, { size, isInQueue, drawMark });
  await journal.reading();
  return journal;
}

/** What may be of a message. */
type Duty = "there" | "gone" | "either";

interface Fact {
  readonly at: number;
  readonly id: string;
  readonly duty: Duty;
}

interface Run {
  readonly changes: readonly Change[];
  readonly facts: readonly Fact[];
}

/** What is done to a journal, and what the world is told meanwhile. */
type Life = (journal: Journal, say: (number: number, duty: Duty) => void) => Promise<void>;

async function run(
  life: Life,
  before: (disk: Disk) => Disk = (disk) => disk,
  step?: () => Promise<unknown>,
): Promise<Run> {
  const memory = memoryDisk(bare, step);
  const facts: Fact[] = [];
  const journal = await open(before(memory));
  await life(journal, (number, duty) => facts.push({ at: memory.journal.length, id: idOf(number), duty }));
  return { changes: memory.journal, facts };
}

async function add(
  journal: Journal,
  say: (number: number, duty: Duty) => void,
  number: number,
  octets?: number,
) {
  say(number, "either");
  await journal.add(messageOf(number, octets));
  say(number, "there");
}

async function end(journal: Journal, say: (number: number, duty: Duty) => void, number: number) {
  say(number, "either");
  await journal.end(idOf(number));
  say(number, "gone");
}

/** What is wrong on `disk`, a line each. */
async function wrong(disk: Disk, facts: readonly Fact[], inQueue: (id: string) => boolean = () => false) {
  const found: string[] = [];
  const duties = new Map(facts.map(({ id, duty }) => [id, duty]));
  const journal = await open(disk, inQueue);
  for (const id of journal.ids()) {
    const message = messageOf(Number(id.slice(-2)));
    const copy = await journal.read(id);
    if (!duties.has(id)) found.push(`${id} is invented`);
    else if (copy === undefined || "damaged" in copy) found.push(`${id} is damaged`);
    else if (copy.envelope !== message.envelope) found.push(`${id} has another envelope`);
    else if (!copy.body.toString().startsWith(textOf(message).slice(0, 40)))
      found.push(`${id} has another body`);
  }
  for (const [id, duty] of duties) {
    if (duty === "there" && !journal.has(id)) found.push(`${id} is lost`);
    if (duty === "gone" && journal.has(id)) found.push(`${id} came back`);
  }
  await journal.close();
  return found;
}

/** Every power cut at every moment, and a kill at each; and what the power fails in, the start that follows a kill. */
async function broken(
  { changes, facts }: Run,
  first = false,
): Promise<{ readonly states: number; readonly lines: readonly string[] }> {
  const seen = new Set<string>();
  const lines: string[] = [];
  const attempt = async (disk: readonly Change[], heard: readonly Fact[]): Promise<void> => {
    const memory = memoryDisk(disk);
    const key = JSON.stringify([[...memory.files()], heard.length]);
    if (seen.has(key)) return;
    seen.add(key);
    lines.push(...(await wrong(memory, heard)));
  };
  for (let moment = bare.length; moment <= changes.length; moment += 1) {
    const heard = facts.filter(({ at }) => at <= moment);
    const killed = changes.slice(0, moment);
    for (const cut of powerCut(killed, 300)) await attempt(cut, heard);
    if (first && lines.length > 0) break;
    const restarted = memoryDisk(killed);
    lines.push(...(await wrong(restarted, heard)));
    for (let later = killed.length + 1; !first && later <= restarted.journal.length; later += 1) {
      for (const cut of powerCut(restarted.journal.slice(0, later), 1)) await attempt(cut, heard);
    }
  }
  return { states: seen.size, lines };
}

/** Three messages in two batches, of which two come to their end; then more than there is room for, so that segments change. */
const life: Life = async (journal, say) => {
  await Promise.all([add(journal, say, 1), add(journal, say, 2)]);
  await Promise.all([end(journal, say, 1), add(journal, say, 3)]);
  await end(journal, say, 2);
  await end(journal, say, 3);
  for (const number of [4, 5, 6]) await add(journal, say, number, 800);
  await Promise.all([end(journal, say, 4), end(journal, say, 5)]);
  await journal.close();
};

describe("a power cut", { timeout: 120_000 }, () => {
  it("breaks no promise of the journal, nor does a kill, nor a power cut during the start that follows", async () => {
    const { states, lines } = await broken(await run(life));
    expect(lines).toEqual([]);
    expect(states).toBeGreaterThan(200);
  });

  it("breaks none where what is done with was forgotten, of which no octet is left", async () => {
    const forgetful: Life = async (journal, say) => {
      await Promise.all([add(journal, say, 1), add(journal, say, 2)]);
      await end(journal, say, 1);
      await journal.forget(); // not the segment that has the second one
      expect(await journal.read(idOf(2))).toBeDefined();
      await end(journal, say, 2);
      for (const number of [3, 4, 5]) await add(journal, say, number, 800);
      await Promise.all([3, 4, 5].map((number) => end(journal, say, number)));
      await journal.forget();
      await add(journal, say, 6);
      await journal.close();
    };
    const done = await run(forgetful);
    const { states, lines } = await broken(done);
    expect(lines).toEqual([]);
    expect(states).toBeGreaterThan(200);
    const texts = [...memoryDisk(done.changes).files()].map(([, content]) => String(content));
    expect(texts.some((text) => text.includes(`Message-ID: <${idOf(6)}@`))).toBe(true);
    for (const number of [1, 2, 3, 4, 5]) {
      expect(texts.some((text) => text.includes(`Message-ID: <${idOf(number)}@`))).toBe(false);
    }
  });

  it("breaks none in any order of the calls that are under way together", async () => {
    await fc.assert(
      fc.asyncProperty(fc.scheduler(), fc.nat({ max: 1000 }), async (scheduler, permille) => {
        const { changes, facts } = await scheduler.waitFor(
          run(life, undefined, () => scheduler.schedule(Promise.resolve())),
        );
        const moment = Math.max(bare.length, Math.ceil((changes.length * permille) / 1000));
        const heard = facts.filter(({ at }) => at <= moment);
        for (const cut of powerCut(changes.slice(0, moment), 1)) {
          expect(await wrong(memoryDisk(cut), heard)).toEqual([]);
        }
      }),
      { numRuns: 50 },
    );
  });

  it("that tears a batch at any octets, drops some, or leaves zeros, spares what was promised before", async () => {
    const { changes, facts } = await run(async (journal, say) => {
      await Promise.all([add(journal, say, 1), add(journal, say, 2)]);
      await Promise.all([3, 4, 5].map((number) => add(journal, say, number)));
    });
    const at = changes.findLastIndex((change) => "content" in change);
    const last = changes[at];
    if (last === undefined || !("content" in last)) throw new Error("expected a write");
    const { inode, content } = last;
    const before = changes.slice(0, at).findLast((change) => "content" in change && change.inode === inode);
    if (before === undefined || !("content" in before)) throw new Error("expected two batches");
    const heard = facts.filter((fact) => fact.at <= at);
    const piece = fc.record({
      from: fc.nat({ max: size }),
      octets: fc.nat({ max: 600 }),
      zeros: fc.boolean(),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(piece, { maxLength: 6 }), fc.boolean(), async (pieces, isWritten) => {
        const torn = Buffer.from(isWritten ? content : before.content);
        const from = content.findIndex((octet, index) => octet !== before.content[index]);
        for (const { from: start, octets, zeros } of pieces) {
          const [begin, end] = [Math.max(from, start), Math.max(from, Math.min(size, start + octets))];
          if (zeros) torn.fill(0, begin, end);
          else (isWritten ? before.content : content).copy(torn, begin, begin, end);
        }
        const disk = memoryDisk([...changes.slice(0, at), { inode, content: torn }]);
        expect(await wrong(disk, heard)).toEqual([]);
        expect(await wrong(disk, heard)).toEqual([]); // the start that follows takes it for no damage
      }),
      { numRuns: 300 },
    );
  });
});

/** Leaves out the fsync of this number, from 0, of those whose path fits. */
function leavingOut(fits: RegExp, number: number): Ahead {
  let before = 0;
  return (call) => {
    if (!call.startsWith("sync ") || !fits.test(call)) return "go";
    before += 1;
    return before - 1 === number ? "skip" : "go";
  };
}

describe("the journal needs the fsync", { timeout: 120_000 }, () => {
  it.each([
    ["of a segment, before the promise", /-[0-9A-F]{16}$/, 0],
    ["of a segment, before the next promise", /-[0-9A-F]{16}$/, 1],
    ["of the folder, when a segment is taken", /journal$/, 2],
    ["of a done file, before a message is gone for good", /\.done$/, 0],
    ["of the folder, when a segment is put back", /journal$/, 4],
  ] as const)("%s", async (_, fits, number) => {
    const { lines } = await broken(
      await run(life, (disk) => intercept(disk, leavingOut(fits, number))),
      true,
    );
    expect(lines[0]).toMatch(/is lost|came back|is damaged/);
  });
});

describe("a call that the disk refuses", () => {
  const refused = Object.assign(new Error("EIO: refused"), { code: "EIO" });

  it("fails those who wait for it and nobody else, and the next message goes to another segment", async () => {
    let calls = 0;
    const counting = await run(life, (disk) =>
      intercept(disk, () => {
        calls += 1;
        return "go";
      }),
    );
    expect(counting.facts.length).toBeGreaterThan(10);
    for (let bad = 1; bad <= calls; bad += 1) {
      let count = 0;
      let isOpen = false;
      const memory = memoryDisk(bare);
      const disk = intercept(memory, () => {
        count += 1;
        if (isOpen && count === bad) throw refused;
        return "go";
      });
      const journal = await open(disk);
      isOpen = true;
      const facts: Fact[] = [];
      const say = (number: number, duty: Duty): void => void facts.push({ at: 0, id: idOf(number), duty });
      const attempt = async (work: Promise<void>): Promise<void> => {
        await work.catch((error: unknown) => {
          if (error !== refused) throw error;
        });
      };
      await Promise.all([attempt(add(journal, say, 1)), attempt(add(journal, say, 2))]);
      await attempt(end(journal, say, 1));
      for (const number of [4, 5, 6, 7]) await attempt(add(journal, say, number, 800));
      await attempt(end(journal, say, 4));
      await end(journal, say, 4); // again
      const duties = new Map(facts.map(({ id, duty }) => [id, duty]));
      for (const [id, duty] of duties) if (duty === "there") expect(journal.has(id)).toBe(true);
      expect(journal.has(idOf(4))).toBe(false);
      await journal.close().catch(() => undefined);
      expect(await wrong(memory, facts), `call ${String(bad)}`).toEqual([]);
    }
  });
});

describe("the journal", () => {
  const settled = async (): Promise<void> => {
    for (let turn = 0; turn < 50; turn += 1) await new Promise(setImmediate);
  };

  it("writes all that wait with one call and one fsync", async () => {
    const calls: string[] = [];
    const journal = await open(
      intercept(memoryDisk(bare), (call) => {
        calls.push(call);
        return "go";
      }),
    );
    await journal.add(messageOf(1));
    await settled();
    calls.length = 0;
    await Promise.all([2, 3, 4, 5].map((number) => journal.add(messageOf(number))));
    expect(calls.map((call) => call.split(" ")[0])).toEqual(["write", "sync"]);
  });

  it("takes the same files again, and leaves none behind", async () => {
    const memory = memoryDisk(bare);
    const journal = await open(memory);
    const counts: number[] = [];
    for (let number = 1; number <= 30; number += 1) {
      await journal.add(messageOf(number, 800));
      await journal.end(idOf(number));
      await settled();
      counts.push((await memory.list(path)).length);
    }
    expect(Math.max(...counts)).toBeLessThanOrEqual(5); // the current one and its done file, and free ones
    const inodes = memory.journal.flatMap((change) =>
      "path" in change && change.inode !== undefined && change.path.includes("-") ? [change.inode] : [],
    );
    expect(new Set(inodes).size).toBeLessThanOrEqual(4);
  });

  it("keeps a segment in which a promised record is damaged, and tells it from the others", async () => {
    const memory = memoryDisk(bare);
    const journal = await open(memory);
    for (const number of [1, 2, 3]) await journal.add(messageOf(number));
    await journal.close();
    const name = (await memory.list(path)).find((one) => /-[0-9A-F]{16}$/.test(one)) ?? "";
    const file = await memory.openPlaced(`${path}/${name}`, "there");
    file.writeNow(Buffer.from("?"), 150); // in the body of the first
    const again = await open(memory);
    expect(again.ids()).toEqual([1, 2, 3].map(idOf));
    expect(await again.read(idOf(1))).toEqual({
      damaged: `${path}/${name}: the record at 0 is not as it was written`,
    });
    expect(await again.read(idOf(2))).toMatchObject({ envelope: messageOf(2).envelope });
    for (const number of [2, 3]) await again.end(idOf(number));
    await again.close();
    expect(await memory.list(path)).toContain(name);
  });

  it("takes what is in the queue as well for moved", async () => {
    const memory = memoryDisk(bare);
    const journal = await open(memory);
    await journal.add(messageOf(1));
    const killed = memory.journal.slice();
    const again = await open(memoryDisk(killed), (id) => id === idOf(1));
    expect(again.ids()).toEqual([]);
    expect(again.knows(idOf(1))).toBe(true);
  });

  it("refuses with the disk's own error where there is no room for a segment, and goes on when there is", async () => {
    let isFull = true;
    const full = Object.assign(new Error("ENOSPC: no space left"), { code: "ENOSPC" });
    const disk = intercept(memoryDisk(bare), (call) => {
      if (isFull && call.startsWith("write") && call.includes("free-")) throw full;
      return "go";
    });
    const journal = await open(disk);
    await expect(Promise.all([journal.add(messageOf(1)), journal.add(messageOf(2))])).rejects.toBe(full);
    expect((await disk.list(path)).filter((name) => name.startsWith("free-"))).toEqual([]);
    isFull = false;
    await journal.add(messageOf(3));
    expect(journal.ids()).toEqual([idOf(3)]);
  });
});
