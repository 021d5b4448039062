/**
 * Whatever is done to a message, a power cut at any moment of it breaks no promise; and the replay that says so finds out
 * whoever leaves out an fsync.
 */
import { afterAll, describe, expect, it, vi } from "vitest";
import { acts } from "./acts.ts";
import { type Ahead, intercept } from "./intercept.ts";
import { replay, runAct, way } from "./replay.ts";

vi.mock("node:fs/promises", async (original) => {
  const { withMemory } = await import("./memory-files.ts");
  return withMemory(await original());
});

const figures: string[] = [];

describe("a power cut at any moment", { timeout: 120_000 }, () => {
  it.each(acts)("of $name breaks no promise", async (act) => {
    const { states, broken } = await replay(await runAct(act));
    figures.push(`${act.name} ${String(states)}`);
    expect(broken).toEqual([]);
    expect(states).toBeGreaterThan(10); // it was not replayed in vain
  });

  const asked = ["receive", "deliver", "record", "report", "hold", "release", "redirect", "freeze"];
  it.each(acts.filter(({ name }) => asked.includes(name)))(
    "of $name breaks no promise on a spool with a journal",
    async (act) => {
      way.journal = { segment: 4096, largest: 1000, early: true };
      try {
        const { states, broken } = await replay(await runAct(act), false, 1);
        figures.push(`${act.name} with a journal ${String(states)}`);
        expect(broken).toEqual([]);
        expect(states).toBeGreaterThan(10);
      } finally {
        way.journal = undefined;
      }
    },
  );

  afterAll(() => {
    const sum = figures.reduce((all, figure) => all + Number(figure.split(" ").at(-1)), 0);
    process.stdout.write(`\npower cuts: ${String(sum)} states tried: ${figures.join(", ")}\n`);
  });
});

/** The fsyncs by which each act keeps its word, and which of those of this name, if not the first. */
const needed: Readonly<Record<string, readonly string[]>> = {
  receive: [
    "/srv",
    "spool/format.new",
    "spool",
    "spool, 2",
    "messages",
    "messages/ID",
    "drafts/ID",
    "queue, 2",
  ],
  deliver: ["queue, 2"],
  record: ["drafts/ID", "queue, 2", "drafts/ID, 2"],
  report: ["messages", "messages/ID", "drafts/ID", "queue, 2", "queue, 3", "drafts/ID, 2"],
  hold: ["drafts/ID", "queue, 2"],
  release: ["drafts/ID", "queue, 2"],
  redirect: ["drafts/ID", "queue, 2"],
  freeze: ["spool/.frozen.new", "spool, 3", "spool/.frozen.new, 2", "spool, 4"],
  verify: [
    "spool/format.new",
    "spool",
    "spool, 2",
    "damaged",
    "spool, 3",
    "damaged, 2",
    "queue",
    "damaged, 3",
    "queue, 2",
    "damaged, 4",
  ],
  upgrade: ["spool/format.new", "drafts/ID", "queue, 2"],
};

/** Leaves out one fsync, named as above. */
function leavingOut(name: string): Ahead {
  const times = new Map<string, number>();
  return (call) => {
    if (!call.startsWith("sync ")) return "go";
    const plain = call
      .replace(/^sync (?:\/srv\/spool\/(?=messages|drafts|queue|damaged)|\/srv\/(?=spool))?/, "")
      .replace(/(?<=\.)[0-9a-f]{12}\./, "") // a draft's; first, for it may be of digits alone
      .replace(/[0-9A-F]{12}/, "ID");
    const time = (times.get(plain) ?? 0) + 1;
    times.set(plain, time);
    return name === (time === 1 ? plain : `${plain}, ${String(time)}`) ? "skip" : "go";
  };
}

describe("the replay finds out", { timeout: 120_000 }, () => {
  const sabotages = acts.flatMap((act) => (needed[act.name] ?? []).map((name) => ({ act, name })));
  it.each(sabotages)("$act.name without the fsync of $name", async ({ act, name }) => {
    const run = await runAct(act, (disk) => intercept(disk, leavingOut(name)));
    const { broken } = await replay(run, true);
    expect(broken[0]).toMatch(
      /is lost|is damaged|came back|forgot|may send again|expected "tpa-submit spool 2"|not a spool/,
    );
  });

  it("every act that keeps its word badly", () => {
    expect(acts.filter(({ name }) => needed[name] === undefined)).toEqual([]);
  });
});
