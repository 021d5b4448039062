/**
 * Power cuts of the real program: its own system calls under a load, through a kill and two restarts, are replayed on a disk
 * that loses what was not fsynced, and each disk that may be left is opened by the program's own recovery. In the gate for
 * seconds; for longer:
 *     npm run powercut                                 5 minutes
 *     TPA_SUBMIT_POWERCUT_MINUTES=30 TPA_SUBMIT_POWERCUT_SEED=1 npm run powercut
 * A seed makes the same choices again, though the program does not make its calls in the same order.
 */
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import { prepareRelay } from "../../demo/relay.mjs";
import { memoryDisk } from "../server/spool/memory-disk.ts";
import { real } from "../tools/real.ts";
import { until } from "../tools/until.ts";
import { type Chance, chanceFrom } from "../torture/chance.ts";
import { isWhole } from "../torture/letter.ts";
import { owedAt } from "./duty.ts";
import type { Sync } from "./image.ts";
import { directory, disksOf, type FoundDisk, replay } from "./replay.ts";
import { hasTaken, runTraced, settingsFor, startHop, type TracedRun } from "./run.ts";

const minutes = Number(process.env["TPA_SUBMIT_POWERCUT_MINUTES"] ?? 0);
const seed = Number(process.env["TPA_SUBMIT_POWERCUT_SEED"] ?? Date.now() % 1_000_000);

const letters = 60;

/** States of each moment, and disks from which the whole program is started: in the gate, and for longer. */
const [most, starts] = minutes === 0 ? [4, 1] : [12, 6];

/** Of a hundred states, after how many the power fails again. */
const again = 5;

/** The syncs of which each keeps promises, by the path of what is synced; and what is broken without them. */
const needed: Readonly<
  Record<"with a journal" | "without one", readonly (readonly [string, RegExp, RegExp])[]>
> = {
  "with a journal": [
    ["a segment", /\/journal\/\d+-[0-9A-F]+$/, /is lost/],
    ["the names of segments", /\/journal$/, /is lost|came back/],
    ["a done file", /\.done$/, /came back/],
    ["a body", /\/messages\/\w+$/, /is lost|is damaged|is altered/],
    ["the names of bodies", /\/messages$/, /is lost|is damaged/],
    ["an envelope", /\/drafts\/\w+$/, /is lost|is damaged/],
    ["the names of envelopes", /\/queue$/, /is lost|came back/],
    ["the format", /\/format\.new$/, /format/],
  ],
  "without one": [
    ["a body", /\/messages\/\w+$/, /is lost|is damaged|is altered/],
    ["the names of bodies", /\/messages$/, /is lost|is damaged/],
    ["an envelope", /\/drafts\/\w+$/, /is lost|is damaged/],
    ["the names of envelopes", /\/queue$/, /is lost|came back/],
    ["the format", /\/format\.new$/, /format/],
  ],
};

describe.skipIf(!real("strace"))("power cuts of the running program", () => {
  test.each([
    ["with a journal", true],
    ["without one", false],
  ] as const)(
    `break no promise on a spool %s (seed ${String(seed)})`,
    {
      timeout: minutes * 60_000 + 600_000,
    },
    async (name, hasJournal) => {
      const chance = chanceFrom(seed);
      const share = (minutes * 60_000) / 2;
      const end = performance.now() + share;
      let states = 0;
      let rounds = 0;
      do {
        const run = await runTraced(hasJournal, letters, chance.fork());
        const isEnough = (): boolean => minutes > 0 && performance.now() > end;
        const found = await replay(run, { chance, most, again, isEnough });
        states += found.states;
        rounds += 1;
        expect(found.broken).toEqual([]);
        expect(found.states).toBeGreaterThan(500); // it was not replayed in vain
        if (rounds === 1) {
          process.stdout.write(`\n${factsOf(run)}\n`);
          await sabotage(run, needed[name], chance.fork());
          await restart(run, hasJournal, chance.fork());
        }
      } while (performance.now() < end);
      process.stdout.write(
        `\npower cuts of the program ${name}: ${String(states)} states of ${String(rounds)} runs (seed ${String(seed)})\n`,
      );
    },
  );
});

function factsOf({ doings, copies }: TracedRun): string {
  const promised = copies.filter((copy) => copy.promised !== undefined).length;
  const taken = copies.filter((copy) => copy.taken !== undefined).length;
  return `${String(copies.length)} copies, ${String(promised)} promised, ${String(taken)} taken; ${String(doings.contents.length)} writes, ${String(doings.names.length)} names, ${String(doings.syncs.length)} syncs`;
}

/** Who leaves out one kind of sync is found out. */
async function sabotage(
  run: TracedRun,
  kinds: readonly (readonly [string, RegExp, RegExp])[],
  chance: Chance,
): Promise<void> {
  for (const [what, path, expected] of kinds) {
    const without = (sync: Sync): boolean => path.test(sync.path);
    expect(run.doings.syncs.some(without), `syncs of ${what}`).toBe(true);
    const isEnough = (broken: readonly string[]): boolean => broken.some((line) => expected.test(line));
    const { broken } = await replay(run, { chance, most: 8, again: 0, without, isEnough });
    expect(isEnough(broken), `without the syncs of ${what}: ${broken.slice(0, 3).join("; ")}`).toBe(true);
  }
}

/** The whole program starts from some of the disks, and delivers what is owed. */
async function restart(run: TracedRun, hasJournal: boolean, chance: Chance): Promise<void> {
  const picked: FoundDisk[] = [];
  let seen = 0;
  for (const disk of disksOf(run, { chance, most: 3 })) {
    if (owedAt(run.copies, disk.place).isThere.size < 2) continue;
    const at = seen < starts ? seen : chance.below(seen + 1); // each has the same chance, and all of them have no room
    if (at < starts) picked[at] = disk;
    seen += 1;
  }
  expect(picked.length).toBe(starts);
  for (const disk of picked) await deliver(disk, run, hasJournal);
}

async function deliver({ image, place }: FoundDisk, run: TracedRun, hasJournal: boolean): Promise<void> {
  const hop = await startHop();
  const relay = await prepareRelay(settingsFor(hop, hasJournal));
  try {
    const spool = join(relay.folder, "disk/spool");
    await mkdir(spool, { recursive: true, mode: 0o700 });
    for (const [path, content] of memoryDisk(image).files()) {
      const there = path.replace(directory, spool);
      if (content !== undefined) await writeFile(there, Buffer.from(content, "latin1"), { mode: 0o600 });
      else if (there !== path) await mkdir(there, { recursive: true, mode: 0o700 });
    }
    await relay.start();
    const owed = [...owedAt(run.copies, place).isThere];
    await until("what is owed", () =>
      owed.every(({ token, recipient }) => hasTaken(hop, token, recipient)) ? true : undefined,
    );
    const letters = hop.received.filter(({ mail }) => !mail.includes("<>"));
    expect(letters.filter(({ message }) => !isWhole(message))).toEqual([]);
  } finally {
    await relay.stop();
    await hop.close();
  }
}
