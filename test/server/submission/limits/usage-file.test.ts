import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { type LogEntry, logTo } from "../../../../src/server/log/log.ts";
import { hour, total } from "../../../../src/server/submission/limits/sliding-window.ts";
import type { UsageEntry } from "../../../../src/server/submission/limits/usage.ts";
import {
  openUsage,
  type UsageRecorder,
  type UsageStore,
} from "../../../../src/server/submission/limits/usage-file.ts";

const noon = Date.UTC(2026, 10, 22, 12);

let entries: LogEntry[] = [];
beforeEach(() => {
  entries = [];
  logTo((entry) => entries.push(entry));
});
afterEach(() => logTo(() => undefined));

interface Paper extends UsageStore {
  text: string | undefined;
  /** What every call is refused with. */
  fault: string | undefined;
  replaced: number;
}

/** A file in memory. */
function newPaper(text?: string): Paper {
  const refuse = (): void => {
    if (paper.fault !== undefined)
      throw Object.assign(new Error(`${paper.fault}: as the test wants it`), { code: paper.fault });
  };
  const paper: Paper = {
    name: "usage",
    text,
    fault: undefined,
    replaced: 0,
    async load() {
      refuse();
      return paper.text;
    },
    async append(lines) {
      refuse();
      paper.text = (paper.text ?? "") + lines;
    },
    async replace(whole) {
      refuse();
      paper.text = whole;
      paper.replaced++;
    },
  };
  return paper;
}

function count(recorder: UsageRecorder, at = noon): void {
  const digest = recorder.usage.digest("user1", "a@example.net");
  const note: UsageEntry = {
    login: "user1",
    at,
    messages: 1,
    recipients: 1,
    newRecipients: 1,
    addresses: [digest],
  };
  recorder.usage.add(note);
  recorder.record(note);
}

const sentBy = ({ usage }: UsageRecorder, now = noon): number => total(usage.of("user1").messages, hour, now);

describe("the usage of all logins", () => {
  it("outlives a restart, whom they know with it", async () => {
    const paper = newPaper();
    const first = await openUsage(paper, () => noon);
    count(first);
    count(first);
    await first.close();
    const second = await openUsage(paper, () => noon);
    count(second);
    await second.close();
    const third = await openUsage(paper, () => noon);
    expect(sentBy(third)).toBe(3);
    expect(third.usage.knows("user1", third.usage.digest("user1", "A@example.net"), noon)).toBe(true);
    expect(entries).toEqual([]);
  });

  it("outlives a crash that cuts the last line short", async () => {
    const paper = newPaper();
    const first = await openUsage(paper, () => noon);
    count(first);
    await first.close();
    paper.text += '[1795348800,"us';
    const second = await openUsage(paper, () => noon);
    count(second);
    await second.close();
    expect(sentBy(await openUsage(paper, () => noon))).toBe(2);
    expect(entries).toEqual([]);
  });

  it.each([
    ["is another program's", newPaper("hello\n"), undefined],
    ["cannot be read", newPaper("tpa-submit usage 1 x\n"), "EACCES"],
  ])("begins afresh where the file %s, and says so", async (_, paper, fault) => {
    paper.fault = fault;
    const recorder = await openUsage(paper, () => noon);
    count(recorder);
    expect(sentBy(recorder)).toBe(1);
    expect(entries.map(({ event }) => event)).toContain("usage-unread");
  });

  it("goes on where the disk refuses it, and is written when it does no more", async () => {
    let now = noon;
    const paper = newPaper();
    const recorder = await openUsage(paper, () => now);
    paper.fault = "ENOSPC";
    for (let index = 0; index < 5; index++) count(recorder);
    await recorder.close();
    expect(sentBy(recorder)).toBe(5);
    expect(entries.map(({ event }) => event)).toEqual(["usage-unsaved"]);
    paper.fault = undefined;
    now += 60_000;
    count(recorder);
    await recorder.close();
    expect(sentBy(await openUsage(paper, () => now))).toBe(6);
  });

  it("is written without what no longer counts when it has grown long", async () => {
    let now = noon;
    const paper = newPaper();
    const recorder = await openUsage(paper, () => now);
    const digests = Array.from({ length: 5_000 }, (_, index) => recorder.usage.digest("user1", `p${index}`));
    for (let index = 0; index < 150; index++) {
      now += 60_000;
      const note = {
        login: "user1",
        at: now,
        messages: 1,
        recipients: 5_000,
        newRecipients: 0,
        addresses: digests,
      };
      recorder.usage.add(note);
      recorder.record(note);
      if (index % 10 === 0) await recorder.close();
    }
    await recorder.close();
    expect(paper.replaced).toBe(2);
    expect(paper.text?.length).toBeLessThan(3_000_000);
    const again = await openUsage(paper, () => now);
    expect(sentBy(again, now)).toBe(sentBy(recorder, now));
    expect(again.usage.knows("user1", digests[0] ?? "", now)).toBe(true);
  });
});
