/**
 * The real program on the real disk, killed: before each single call to the disk, and at random moments under load.
 * A kill loses nothing that the kernel has; what a power cut may lose is power-cut.test.ts.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { systemDisk } from "../../../src/server/spool/disk.ts";
import { duties, type Fact, unpaid } from "./duty.ts";

const victim = new URL("victim.mjs", import.meta.url).pathname;
const words: readonly string[] = ["accepting", "accepted", "recording", "recorded", "removing", "removed"];

let parent: string;
let number = 0;

beforeAll(async () => {
  parent = await mkdtemp(join(tmpdir(), "spool-kill-"));
});

afterAll(async () => {
  await rm(parent, { recursive: true, force: true });
});

function freshDirectory(): string {
  number += 1;
  return join(parent, `spool-${String(number)}`);
}

interface Victim {
  readonly child: ChildProcess;
  /** Resolves when it has opened the spool. */
  readonly opened: Promise<void>;
  /** All that it said, when it is dead. */
  readonly output: Promise<string>;
}

/** Starts the victim, which is compiled code: run the build first. */
function start(hasJournal: boolean, ...args: readonly string[]): Victim {
  const env = { ...process.env, TPA_SUBMIT_VICTIM_JOURNAL: hasJournal ? "1" : "" };
  const child = spawn(process.execPath, [victim, ...args], { stdio: ["ignore", "pipe", "inherit"], env });
  let said = "";
  const opened = new Promise<void>((resolve) => {
    child.stdout.setEncoding("utf8").on("data", (part: string) => {
      said += part;
      if (said.startsWith("opened\n")) resolve();
    });
  });
  return { child, opened, output: once(child, "close").then(() => said) };
}

function factsIn(output: string): readonly Fact[] {
  const isWhat = (word: string): word is Fact["what"] => words.includes(word);
  return output.split("\n").flatMap((line) => {
    const [what = "", id = "", attempts = ""] = line.split(" ");
    return isWhat(what) ? [{ what, id, attempts: Number(attempts) }] : [];
  });
}

const bodyOf = (id: string): string => `${id}\r\n${"x".repeat(70_000)}`;
const smallBodyOf = (id: string): string => `${id}\r\n${"x".repeat(5_000)}`;

describe.each([
  ["without a journal", false],
  ["with one", true],
] as const)("a spool %s whose process is killed", { timeout: 120_000 }, (_, hasJournal) => {
  it("before any change of the disk keeps what was promised, whole, and nothing of what was let go", async () => {
    let next = 0;
    let survived = false;
    async function dieInTurn(): Promise<void> {
      while (!survived) {
        const call = next++;
        const directory = freshDirectory();
        const said = await start(hasJournal, directory, "life", String(call)).output;
        survived ||= said.includes("survived");
        expect(
          await unpaid(systemDisk, directory, duties(factsIn(said)), bodyOf),
          `call ${String(call)}`,
        ).toEqual([]);
      }
    }
    await Promise.all([dieInTurn(), dieInTurn()]);
    expect(next).toBeGreaterThan(25); // or the calls are not the ones that were meant
  });

  it("at a random moment under load keeps everything that was promised, and its lock does not stay", async () => {
    const directory = freshDirectory();
    const facts: Fact[] = [];
    for (let round = 0; round < 6; round += 1) {
      const { child, opened, output } = start(hasJournal, directory, "load");
      await Promise.race([opened, output]);
      const patience = 20 + Math.random() * 300;
      await new Promise((resolve) => setTimeout(resolve, patience));
      child.kill("SIGKILL");
      facts.push(...factsIn(await output));
      expect(
        await unpaid(systemDisk, directory, duties(facts), smallBodyOf),
        `round ${String(round)}`,
      ).toEqual([]);
    }
    expect(facts.filter(({ what }) => what === "accepted").length).toBeGreaterThan(6);
    expect(facts.filter(({ what }) => what === "removed").length).toBeGreaterThan(3);
  });
});
