import fc from "fast-check";
import { describe, expect, it, test } from "vitest";
import {
  type Allowance,
  newQuota,
  type Quota,
  type QuotaRequest,
} from "../../../../src/server/submission/limits/quota.ts";
import {
  day,
  hour,
  roomFrom,
  type SlidingCount,
  total,
  withAdded,
} from "../../../../src/server/submission/limits/sliding-window.ts";
import {
  mostAddresses,
  newUsage,
  rememberedDays,
  type Usage,
  type UsageEntry,
} from "../../../../src/server/submission/limits/usage.ts";
import { formatEntry, formatKey, parseUsage } from "../../../../src/server/submission/limits/usage-file.ts";
import { formatReply } from "../../../../src/smtp/reply.ts";

const noon = Date.UTC(2026, 10, 22, 12);
const minute = 60_000;

describe("a count that slides", () => {
  const times = fc.array(
    fc.record({ at: fc.integer({ min: 0, max: 3 * hour }), count: fc.integer({ min: 1, max: 9 }) }),
  );

  it("forgets nothing too early, and everything a sixtieth of the span later at most", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 0, max: hour }), (given, wait) => {
        const sorted = given.toSorted((one, other) => one.at - other.at);
        const recent = sorted.reduce<SlidingCount>(
          (sum, { at, count }) => withAdded(sum, hour, noon + at, count),
          [],
        );
        const now = noon + (sorted.at(-1)?.at ?? 0) + wait;
        const within = (span: number): number =>
          sorted.reduce((sum, { at, count }) => sum + (noon + at > now - span ? count : 0), 0);
        expect(total(recent, hour, now)).toBeGreaterThanOrEqual(within(hour));
        expect(total(recent, hour, now)).toBeLessThanOrEqual(within(hour + minute));
        expect(recent.length).toBeLessThanOrEqual(62);
      }),
    );
  });

  it("tells from when on there is room again", () => {
    fc.assert(
      fc.property(times, fc.integer({ min: 1, max: 30 }), (given, limit) => {
        const recent = given.reduce<SlidingCount>(
          (sum, { count }, index) => withAdded(sum, hour, noon + index * minute, count),
          [],
        );
        const now = noon + given.length * minute;
        const room = roomFrom(recent, hour, now, limit);
        expect(total(recent, hour, room)).toBeLessThan(limit);
        if (room > now) expect(total(recent, hour, room - 1)).toBeGreaterThanOrEqual(limit);
      }),
    );
  });

  it("does not hold what a wrong clock counted in the future", () => {
    const recent = withAdded([], day, noon + 400 * day, 7);
    expect(total(recent, day, noon)).toBe(0);
    expect(roomFrom(recent, day, noon, 1)).toBe(noon);
  });
});

interface Post {
  readonly quota: Quota;
  readonly usage: Usage;
  readonly notes: UsageEntry[];
  readonly told: string[];
  now: number;
  allowance: Allowance;
  /** Sends a message; gives what was said to it. */
  send(to?: readonly string[], login?: string): string;
}

const generous = { messagesPerHour: 1_000, recipientsPerDay: 1_000, newRecipientsPerDay: 1_000 };

function newPost(allowance: Partial<Allowance>, usage = newUsage(Buffer.alloc(32))): Post {
  const notes: UsageEntry[] = [];
  const told: string[] = [];
  const post: Post = {
    usage,
    notes,
    told,
    now: noon,
    allowance: { ...generous, ...allowance },
    quota: newQuota({
      usage,
      allowance: () => post.allowance,
      now: () => post.now,
      record: (note) => notes.push(note),
      limitReached: (login, limit, until) => told.push(`${login}: ${limit} until ${clock(until)}`),
    }),
    send(to = ["a@example.net"], login = "user1") {
      const bill = billFor(post.quota, login, to);
      if (typeof bill === "string") return bill;
      const charge = post.quota.reserve(bill);
      if ("code" in charge) return formatReply(charge);
      charge.settle(true);
      return "sent";
    },
  };
  return post;
}

/** A bill for a message to all of `to`, or the reply to the first command that was refused. */
function billFor(quota: Quota, login: string, to: readonly string[]): QuotaRequest | string {
  let bill = quota.begin(login);
  for (const address of to) if (!("code" in bill)) bill = quota.addRecipient(bill, address);
  return "code" in bill ? formatReply(bill) : bill;
}

const clock = (time: number): string => new Date(time).toISOString().slice(11, 16);

const people = (count: number, from = 0): readonly string[] =>
  Array.from({ length: count }, (_, index) => `p${from + index}@example.net`);

describe("messages an hour", () => {
  it("that another host accepted before count beside those accepted since", () => {
    const usage = newUsage(Buffer.alloc(32));
    const entry = { login: "user1", recipients: 1, newRecipients: 0, addresses: [] };
    usage.add({ ...entry, at: noon, messages: 3 });
    usage.add({ ...entry, at: noon - 30 * minute, messages: 2 }, noon);
    const post = newPost({ messagesPerHour: 6 }, usage);
    expect(post.send()).toBe("sent");
    expect(post.send()).toMatch(/^450 /);
    post.now = noon + 31 * minute;
    expect(post.quota.useOf("user1")[0]?.used).toBe(4);
  });

  it("are refused at MAIL with the time from which on they work, which they then do", () => {
    const post = newPost({ messagesPerHour: 2 });
    expect(post.send()).toBe("sent");
    post.now += 10 * minute;
    expect(post.send()).toBe("sent");
    post.now += 10 * minute;
    const refusal =
      "450 4.7.1 The limit of 2 messages an hour is reached; try again in 41 minutes, at 13:01 UTC. " +
      "If it was not you who sent so much, change your password";
    const opened = post.quota.begin("user1");
    expect("code" in opened ? formatReply(opened) : opened).toBe(refusal);
    post.now = noon + hour;
    expect(post.send()).toMatch(/^450 4\.7\.1 .* in a minute, at 13:01 UTC/);
    post.now += minute;
    expect(post.send()).toBe("sent");
    expect(post.send()).toMatch(/in 10 minutes, at 13:11 UTC/);
  });

  it("are each login's own", () => {
    const post = newPost({ messagesPerHour: 1 });
    expect(post.send()).toBe("sent");
    expect(post.send(["a@example.net"], "user2")).toBe("sent");
    expect(post.send()).toMatch(/^450/);
  });

  it("may be changed by a reload, and what was counted stays", () => {
    const post = newPost({ messagesPerHour: 5 });
    expect([post.send(), post.send()]).toEqual(["sent", "sent"]);
    post.allowance = { ...generous, messagesPerHour: 1 };
    expect(post.send()).toMatch(/^450/);
    post.allowance = generous;
    expect(post.send()).toBe("sent");
  });
});

describe("recipients a day", () => {
  it("are refused one by one, and those accepted before may be sent to", () => {
    const post = newPost({ recipientsPerDay: 3 });
    const bill = billFor(post.quota, "user1", people(3));
    if (typeof bill === "string") throw new Error(bill);
    const fourth = post.quota.addRecipient(bill, "d@example.net");
    expect("code" in fourth && formatReply(fourth)).toMatch(
      /^450 4\.7\.1 The limit of 3 recipients a day is reached; try again in 25 hours, at 12:24 UTC/,
    );
    const charge = post.quota.reserve(bill);
    if ("code" in charge) throw new Error(charge.text);
    charge.settle(true);
    expect(post.send()).toMatch(/^450/);
    post.now = noon + day + 24 * minute;
    expect(post.send(people(3))).toBe("sent");
  });

  it("count an address as often as it is written to", () => {
    const post = newPost({ recipientsPerDay: 2, newRecipientsPerDay: 1 });
    expect([post.send(), post.send()]).toEqual(["sent", "sent"]);
    expect(post.send()).toMatch(/recipients a day/);
  });
});

describe("new recipients a day", () => {
  it("leave those that are known", () => {
    const post = newPost({ newRecipientsPerDay: 2 });
    expect(post.send(["a@example.net", "b@example.net"])).toBe("sent");
    expect(post.send(["c@example.net"])).toMatch(
      /^450 4\.7\.1 The limit of 2 addresses a day that you have not written to before is reached; try again in 25 hours/,
    );
    expect(post.send(["A@Example.NET", "b@example.net"])).toBe("sent");
    post.now += day + 24 * minute;
    expect(post.send(["c@example.net", "d@example.net", "a@example.net"])).toBe("sent");
  });

  it("are another login's own", () => {
    const post = newPost({ newRecipientsPerDay: 1 });
    expect(post.send(["a@example.net"], "user2")).toBe("sent");
    expect(post.send(["b@example.net"])).toBe("sent");
    expect(post.send(["a@example.net"])).toMatch(/^450/);
  });

  it(`are new again when there was no message to them for ${rememberedDays} days`, () => {
    const post = newPost({ newRecipientsPerDay: 1 });
    post.send(["a@example.net"]);
    post.now += 80 * day;
    post.send(["a@example.net"]);
    post.now += 80 * day;
    expect(post.send(["a@example.net", "b@example.net"])).toBe("sent");
    post.now += (rememberedDays + 1) * day;
    expect(post.send(["a@example.net", "b@example.net"])).toMatch(/^450/);
  });

  it(`are known up to ${mostAddresses} of each login, those of late`, () => {
    const usage = newUsage(Buffer.alloc(32));
    const digests = people(mostAddresses + 5).map((address) => usage.digest("user1", address));
    usage.add({ login: "user1", at: noon, messages: 1, recipients: 1, newRecipients: 1, addresses: digests });
    expect(digests.map((digest) => usage.knows("user1", digest, noon)).indexOf(true)).toBe(5);
  });
});

describe("sessions side by side", () => {
  it("cannot go beyond a limit together", () => {
    const post = newPost({ recipientsPerDay: 3 });
    const bills = [0, 2].map((from) => billFor(post.quota, "user1", people(2, from)));
    const charges = bills.map((bill) => (typeof bill === "string" ? undefined : post.quota.reserve(bill)));
    expect(charges.map((charge) => charge !== undefined && "code" in charge)).toEqual([false, true]);
  });

  it("leave their place when their message is not accepted", () => {
    const post = newPost({ messagesPerHour: 1 });
    const bill = billFor(post.quota, "user1", ["a@example.net"]);
    const charge = typeof bill === "string" ? undefined : post.quota.reserve(bill);
    expect(post.send()).toMatch(/^450/);
    if (charge && "settle" in charge) charge.settle(false);
    expect(post.notes).toEqual([]);
    expect(post.send()).toBe("sent");
  });
});

test("whoever runs the relay is told of a limit once until there is room again", () => {
  const post = newPost({ messagesPerHour: 1 });
  post.send();
  for (let count = 0; count < 5; count++) post.send();
  expect(post.told).toEqual(["user1: 1 messages an hour until 13:01"]);
  post.now += hour + minute;
  post.send();
  post.send();
  expect(post.told).toHaveLength(2);
});

test("the longest refusal fits a line (RFC 5321 section 4.5.3.1.5)", () => {
  const post = newPost({ newRecipientsPerDay: 1 });
  expect(post.send(people(2)).length).toBeLessThan(300);
});

describe("the file of what was sent", () => {
  const notes = fc.array(
    fc.record({
      login: fc.constantFrom("user1", 'us"er 2', "jörg", "constructor"),
      at: fc.integer({ min: 0, max: 100 * 24 * 60 }).map((minutes) => noon + minutes * minute),
      messages: fc.integer({ min: 0, max: 3 }),
      recipients: fc.integer({ min: 0, max: 300 }),
      newRecipients: fc.integer({ min: 0, max: 300 }),
      addresses: fc.array(fc.stringMatching(/^[a-zA-Z0-9_-]{8}$/), { maxLength: 4 }),
    }),
  );

  /** All that can be asked of a usage. */
  const asked = (usage: Usage, all: readonly UsageEntry[], now: number): unknown =>
    all.map(({ login, addresses: known }) => [
      total(usage.of(login).messages, hour, now),
      total(usage.of(login).recipients, day, now),
      total(usage.of(login).newRecipients, day, now),
      known.map((digest) => usage.knows(login, digest, now)),
    ]);

  it("gives the same again, written note by note or at once", () => {
    fc.assert(
      fc.property(notes, (given) => {
        const all = given.toSorted((one, other) => one.at - other.at);
        const now = all.at(-1)?.at ?? noon;
        const usage = newUsage(Buffer.alloc(32));
        for (const note of all) usage.add(note);
        const text = formatKey(Buffer.alloc(32)) + all.map(formatEntry).join("");
        const short = formatKey(Buffer.alloc(32)) + [...usage.entries(now)].map(formatEntry).join("");
        for (const written of [text, short]) {
          const read = newUsage(Buffer.alloc(32));
          const kept = parseUsage(written);
          expect(kept?.ignored).toBe(0);
          for (const note of kept?.entries ?? []) read.add(note);
          expect(asked(read, all, now)).toEqual(asked(usage, all, now));
        }
      }),
    );
  });

  it("names no address", () => {
    const post = newPost({});
    post.send(["a.person@example.net"]);
    expect(post.notes.map(formatEntry).join("")).toMatch(/^\[\d{10},"user1",1,1,1,"[\w-]{8}"\]\n$/);
  });

  it("passes over the line that a crash cut short, wherever it did", () => {
    const line = formatEntry({
      login: "user1",
      at: noon,
      messages: 1,
      recipients: 1,
      newRecipients: 1,
      addresses: ["abcdefgh"],
    });
    for (let length = 1; length < line.length - 1; length++) {
      const kept = parseUsage(formatKey(Buffer.alloc(32, 7)) + line + line.slice(0, length));
      expect(kept).toMatchObject({ ignored: 1, key: Buffer.alloc(32, 7) });
      expect(kept?.entries).toHaveLength(1);
    }
  });

  it("is none where its first line is another one", () => {
    for (const text of [
      "",
      "\n",
      "tpa-submit usage 2 x\n",
      `${"x".repeat(100)}\n`,
      "tpa-submit usage 1 short\n",
    ]) {
      expect(parseUsage(text)).toBeUndefined();
    }
  });

  it("passes over lines that are no notes", () => {
    const lines = [
      "[]",
      "{}",
      "null",
      '[1,"a",1,1,1]',
      '[1,"a",-1,1,1,""]',
      '[1,2,1,1,1,""]',
      '[1,"a",1,1,1,"abc"]',
      '["1","a",1,1,1,""]',
    ];
    const kept = parseUsage(`${formatKey(Buffer.alloc(32))}${lines.join("\n")}\n`);
    expect(kept).toMatchObject({ entries: [], ignored: lines.length });
  });
});
