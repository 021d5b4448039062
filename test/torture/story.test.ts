/** The judge of the torture run sees every wrong, and takes nothing for wrong that a crash excuses. */
import { describe, expect, it } from "vitest";
import { chanceFrom } from "./chance.ts";
import { isWhole, letter, tokenIn, toldAbout } from "./letter.ts";
import { judge, type Ordered, type Sent, type Story, type Taken } from "./story.ts";

const token = "torture-0xa-1";
const recipient = "w0@example.net";
const nobody = "nobody-0@example.net";
const promised: Sent = { token, recipients: [recipient], outcome: "promised", id: "1A203997B800" };
const copy: Taken = { token, recipient, begun: 100, answered: 110, whole: true };
const again: Taken = { ...copy, begun: 5_000, answered: 5_010 };
const done: Ordered = { act: "hold", token, outcome: "done", began: 40, ended: 50 };

const quiet: Story = {
  sent: [promised],
  taken: [copy],
  told: [],
  ordered: [],
  deaths: [],
  troubled: new Set(),
};

const wrongs: readonly [string, Partial<Story>, RegExp][] = [
  [
    "a message that is lost",
    { taken: [] },
    /^torture-0xa-1 to w0@example.net is lost, promised as 1A203997B800$/,
  ],
  [
    "one of two recipients that is lost",
    { sent: [{ ...promised, recipients: [recipient, "w1@example.net"] }] },
    /to w1@example.net is lost/,
  ],
  ["a message that nobody sent", { sent: [] }, /was invented/],
  [
    "a recipient that nobody named",
    { taken: [copy, { ...copy, recipient: "w9@example.net" }] },
    /w9.* was invented/,
  ],
  [
    "a message that was refused and came",
    { sent: [{ ...promised, outcome: "refused" }] },
    /heard that it was refused/,
  ],
  ["a message that came half", { sent: [{ ...promised, outcome: "unsent" }] }, /not sent to its end/],
  ["a message that was altered", { taken: [{ ...copy, whole: false }] }, /came altered/],
  ["a message that came twice", { taken: [copy, again] }, /came again 4890 ms after it had been taken/],
  ["twice, with a crash long after", { taken: [copy, again], deaths: [4_000] }, /came again/],
  ["twice, with a crash before both", { taken: [copy, again], deaths: [100] }, /came again/],
  ["twice, with a crash after both", { taken: [copy, again], deaths: [5_020] }, /came again/],
  [
    "twice, the disk refused, but no crash",
    { taken: [copy, again], troubled: new Set([token]) },
    /came again/,
  ],
  [
    "a third copy after an excused second",
    { taken: [copy, again, { ...again, begun: 9_000 }], deaths: [120] },
    /came again 3990 ms/,
  ],
  [
    "a recipient that does not exist, and nobody was told",
    { sent: [{ ...promised, recipients: [nobody] }], taken: [] },
    /is lost/,
  ],
  [
    "a recipient that does not exist, and took it",
    { sent: [{ ...promised, recipients: [nobody] }], taken: [{ ...copy, recipient: nobody }] },
    /there is no such recipient/,
  ],
  [
    "a message that was given up for nothing",
    { taken: [], told: [{ token, recipient, at: 1 }] },
    /given up, and nothing was wrong with it/,
  ],
  [
    "a report about nothing",
    { told: [{ token, recipient: nobody, at: 1 }] },
    /a report about .* was invented/,
  ],
  [
    "a report that came twice without a crash",
    {
      sent: [{ ...promised, recipients: [nobody] }],
      taken: [],
      told: [1, 2].map((at) => ({ token, recipient: nobody, at })),
    },
    /was told twice/,
  ],
  ["a held message that went", { ordered: [done] }, /came after hold had been done/],
  ["a dropped message that went", { ordered: [{ ...done, act: "drop" }] }, /came after drop had been done/],
  [
    "a held message that went before it was released",
    { ordered: [done, { ...done, act: "release", began: 200, ended: 210 }] },
    /came after hold/,
  ],
];

const rights: readonly [string, Partial<Story>, object][] = [
  ["a message that came once", {}, { promised: 1, copies: 1, unheard: 0 }],
  ["one that came though nobody heard 250", { sent: [{ ...promised, outcome: "unknown" }] }, { unheard: 1 }],
  ["one that did not, for the same reason", { sent: [{ ...promised, outcome: "unknown" }], taken: [] }, {}],
  ["twice, with a crash before the record", { taken: [copy, again], deaths: [120] }, { afterCrash: 1 }],
  [
    "twice, when the disk refused the record until a crash",
    { taken: [copy, again], deaths: [4_500], troubled: new Set([token]) },
    { afterCrash: 1 },
  ],
  [
    "twice, when the next hop did not answer",
    { taken: [{ ...copy, answered: undefined }, again] },
    { afterSilence: 1, afterCrash: 0 },
  ],
  [
    "a recipient that does not exist, and its sender was told",
    { sent: [{ ...promised, recipients: [nobody] }], taken: [], told: [{ token, recipient: nobody, at: 1 }] },
    { toldAgain: 0 },
  ],
  ["a message that was dropped", { taken: [], ordered: [{ ...done, act: "drop" }] }, {}],
  [
    "one that an order of which nobody heard may have dropped",
    { taken: [], ordered: [{ ...done, act: "drop", outcome: "lost" }] },
    {},
  ],
  [
    "one that was bounced",
    { taken: [], ordered: [{ ...done, act: "bounce" }], told: [{ token, recipient, at: 60 }] },
    {},
  ],
  ["one that was held too late", { ordered: [{ ...done, ended: 101 }] }, {}],
  [
    "one that was held and released",
    { ordered: [done, { ...done, act: "release", began: 60, ended: 70 }] },
    {},
  ],
];

describe("the judge", () => {
  it.each(wrongs)("sees %s", (_, part, complaint) => {
    expect(judge({ ...quiet, ...part }).wrong).toEqual([expect.stringMatching(complaint)]);
  });

  it.each(rights)("lets pass %s", (_, part, figures) => {
    expect(judge({ ...quiet, ...part })).toMatchObject({ wrong: [], ...figures });
  });
});

describe("a letter", () => {
  const { text } = letter(token, [recipient], 50);

  it("is whole below what the relay puts on top, and not with an octet changed, or cut", () => {
    expect(isWhole(`Received: from localhost\r\n\tby relay\r\n${text}`)).toBe(true);
    expect(isWhole(text.replace("\r\n..", "\r\n."))).toBe(false);
    expect(isWhole(text.slice(0, -2))).toBe(false);
    expect(isWhole(text.replace(" 49 ", " 48 "))).toBe(false);
  });

  it("is known by its token, and a report by whom it is about", () => {
    expect(tokenIn(text)).toBe(token);
    expect(toldAbout("Final-Recipient: rfc822; a@example.net\r\nAction: failed\r\n")).toEqual([
      "a@example.net",
    ]);
  });
});

describe("chance", () => {
  it("is the same for the same seed, and another for another", () => {
    const draw = (seed: number): readonly number[] => {
      const chance = chanceFrom(seed);
      return [chance(), chance.below(1000), chance.fork()(), chance()];
    };
    expect(draw(1)).toEqual(draw(1));
    expect(draw(1)).not.toEqual(draw(2));
  });
});
