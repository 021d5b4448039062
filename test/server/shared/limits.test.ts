/** One login's limits across three hosts that take its mail at once. */
import { describe, expect, test } from "vitest";
import { forgetUsage } from "../../../src/server/shared/forget-usage.ts";
import { settleSpends } from "../../../src/server/shared/settle.ts";
import { openSharedUsage } from "../../../src/server/shared/usage.ts";
import { usageFromDatabase, usageIntoDatabase } from "../../../src/server/shared/usage-copy.ts";
import type { Spend, SpendRefusal } from "../../../src/server/spool/spend.ts";
import { newQuota } from "../../../src/server/submission/limits/quota.ts";
import { day, hour, total } from "../../../src/server/submission/limits/sliding-window.ts";
import { dayOf, newUsage, rememberedDays } from "../../../src/server/submission/limits/usage.ts";
import { formatEntry, formatKey, parseUsage } from "../../../src/server/submission/limits/usage-file.ts";
import { formatReply } from "../../../src/smtp/reply.ts";
import { real } from "../../tools/real.ts";
import { eventually, sharedDatabases } from "./databases.ts";

const generous = { messagesPerHour: 1e6, recipientsPerDay: 1e6, newRecipientsPerDay: 1e6 };

/** A generator of numbers below `below` that goes the same way each time. */
function seeded(seed: number): (below: number) => number {
  let state = seed;
  return (below) => {
    state = (Math.imul(state, 1_103_515_245) + 12_345) & 0x7f_ff_ff_ff;
    return Math.floor((state / 0x80_00_00_00) * below);
  };
}

describe.skipIf(!real("postgresql"))("limits of hosts that share a database", () => {
  const databases = sharedDatabases();

  test("hold to the message while three hosts are hammered at once, and nobody waits for somebody who waits", async () => {
    const url = await databases.make();
    const hosts = await Promise.all(
      ["a", "b", "c"].map((name) => databases.connect(url, `${name}.example.org`)),
    );
    const logins = ["anna", "bert", "carla", "dora", "emil", "fred"];
    const allowance = { ...generous, messagesPerHour: 100 };
    const accepted = new Map<string, number>();
    const errors: unknown[] = [];
    const cut = new Error("the host died before its COMMIT");

    /** Batches of a host, of several logins in any order, until all of them have reached their limits for long. */
    async function hammer(host: (typeof hosts)[number], seed: number): Promise<void> {
      const random = seeded(seed);
      for (let round = 0; round < 25; round++) {
        const spends = Array.from({ length: 1 + random(6) }, () => ({
          login: logins[random(logins.length)] ?? "",
          at: 0,
          recipients: [`person${random(40)}`, `person${random(40)}`],
        }));
        const dies = random(8) === 0;
        try {
          const outcomes = await host.transaction(async (query) => {
            const settled = await settleSpends(query, spends, allowance);
            if (dies) throw cut;
            return settled;
          });
          for (const spend of spends) {
            const { login } = spend;
            if (!outcomes.has(spend)) accepted.set(login, (accepted.get(login) ?? 0) + 1);
          }
        } catch (error) {
          if (error !== cut) errors.push(error);
        }
      }
    }

    const forgetting = hosts.map((host) => forgetUsage(host, Date.now()));
    await Promise.all([
      ...hosts.flatMap((host, at) =>
        Array.from({ length: 5 }, (_, seed) => hammer(host, 100 * at + seed + 1)),
      ),
      ...forgetting,
      ...hosts.map(async (host) => {
        for (let round = 0; round < 20; round++) await forgetUsage(host, Date.now(), 10);
      }),
    ]);
    expect(errors).toEqual([]);
    expect(Object.fromEntries(accepted)).toEqual(Object.fromEntries(logins.map((login) => [login, 100])));
  });

  test("are decided by what other hosts have committed, one message after the other", async () => {
    const url = await databases.make();
    const [one, other] = [await databases.connect(url), await databases.connect(url)];
    const allowance = { ...generous, messagesPerHour: 1 };
    const spend = { login: "anna", at: 0, recipients: ["x"] };
    let second: Promise<ReadonlyMap<Spend, SpendRefusal>> | undefined;
    const first = await one.transaction(async (query) => {
      const outcome = await settleSpends(query, [spend], allowance);
      second = other.transaction((theirs) => settleSpends(theirs, [spend], allowance));
      const isWaiting = await Promise.race([
        second.then(() => false),
        new Promise<boolean>((resolve) => {
          setTimeout(resolve, 100, true);
        }),
      ]);
      expect(isWaiting).toBe(true);
      return outcome;
    });
    expect(first.size).toBe(0);
    expect((await second)?.get(spend)).toEqual({ limit: "1 messages an hour", until: expect.any(Number) });
  });

  test("count what is new to a login once, wherever it wrote to it first", async () => {
    const url = await databases.make();
    const [one, other] = [await databases.connect(url), await databases.connect(url)];
    const allowance = { ...generous, newRecipientsPerDay: 3 };
    const send = async (host: typeof one, recipients: readonly string[], login = "anna"): Promise<boolean> =>
      (await host.transaction((query) => settleSpends(query, [{ login, at: 0, recipients }], allowance)))
        .size > 0;
    expect(await send(one, ["a", "b"])).toBe(false);
    expect(await send(other, ["a", "b"])).toBe(false);
    expect(await send(other, ["a", "c", "d"])).toBe(true);
    expect(await send(other, ["a", "c", "c"])).toBe(false);
    expect(await send(one, ["d"])).toBe(true);
    expect(await send(one, ["c"])).toBe(false);
    expect(await send(one, ["d"], "bert")).toBe(false);
  });

  test("leave nothing of a message that is refused, nor of one whose transaction is rolled back", async () => {
    const database = await databases.connect(await databases.make());
    const allowance = { ...generous, messagesPerHour: 1 };
    const spend = { login: "anna", at: 0, recipients: ["x"] };
    const rollback = new Error("rolled back");
    await expect(
      database.transaction(async (query) => {
        await settleSpends(query, [spend], allowance);
        throw rollback;
      }),
    ).rejects.toBe(rollback);
    expect(await database.query("SELECT digest FROM correspondents")).toEqual([]);
    const next = { ...spend, recipients: ["y"] };
    const outcomes = await database.transaction((query) => settleSpends(query, [spend, next], allowance));
    expect([...outcomes.keys()]).toEqual([next]);
    expect(await database.query("SELECT digest FROM correspondents")).toEqual([{ digest: "x" }]);
  });

  test("are in the memory of each host within a second, and no address or key is in the database", async () => {
    const url = await databases.make();
    const [one, other] = [await databases.connect(url), await databases.connect(url)];
    const allowance = { ...generous, messagesPerHour: 2, newRecipientsPerDay: 2 };
    const open = async (database: typeof one) =>
      databases.open(await openSharedUsage(database, () => allowance, Date.now));
    const [here, there] = [await open(one), await open(other)];
    const quotaOf = (shared: typeof here) =>
      newQuota({
        usage: shared.mirror,
        allowance: () => allowance,
        now: Date.now,
        record: () => undefined,
        limitReached: () => undefined,
      });
    const addressed = here.mirror.digest("anna", "X@example.net");
    expect(there.mirror.digest("anna", "x@example.net")).toBe(addressed);
    const digest = (name: string): string => there.mirror.digest("anna", `${name}@example.net`);
    // Not known here yet, so that it is let through: the transaction of the promise would know.
    expect(here.mirror.knows("anna", addressed, Date.now())).toBe(true);
    await eventually(() => !here.mirror.knows("anna", addressed, Date.now()));
    const spend = { login: "anna", at: 0, recipients: [digest("x"), digest("y")] };
    const began = performance.now();
    await other.transaction((query) => there.settle(query, [spend, { ...spend }]));
    await eventually(() => quotaOf(here).useOf("anna")[0]?.used === 2);
    expect(performance.now() - began).toBeLessThan(5_000); // a second, on a machine that does nothing else
    expect(here.mirror.knows("anna", addressed, Date.now())).toBe(true);
    const mail = quotaOf(here).begin("anna");
    expect("code" in mail ? formatReply(mail) : mail).toMatch(
      /^450 4\.7\.1 The limit of 2 messages an hour is reached/,
    );
    expect(
      quotaOf(here)
        .nearLimits(0.8, 9)
        .map(({ login }) => login),
    ).toEqual(["anna", "anna"]);
    const dump = await databases.cluster().sql("SELECT * FROM usage, correspondents", nameOf(url));
    expect(dump).toContain("anna");
    expect(dump).not.toContain("example.net");
  });

  test("count what came with another spool, whatever the limits are, and at its own time", async () => {
    const url = await databases.make();
    const database = await databases.connect(url);
    const shared = databases.open(
      await openSharedUsage(database, () => ({ ...generous, messagesPerHour: 1 }), Date.now),
    );
    const now = Date.now();
    shared.add({ login: "anna", at: now, messages: 3, recipients: 4, newRecipients: 0 });
    shared.add({ login: "anna", at: now - 50 * 60_000, messages: 2, recipients: 2, newRecipients: 0 });
    const again = databases.open(
      await openSharedUsage(await databases.connect(url), () => generous, Date.now),
    );
    await eventually(() => total(again.mirror.of("anna").messages, hour, now) === 5);
    expect(total(again.mirror.of("anna").recipients, day, now)).toBe(6);
    expect(total(again.mirror.of("anna").messages, hour, now + 30 * 60_000)).toBe(3);
  });

  test("come from a file with the addresses that logins know, and go back into one", async () => {
    const now = Date.now();
    const usage = newUsage(Buffer.alloc(32, 7));
    const known = usage.digest("anna", "friend@example.net");
    const entry = { login: "anna", messages: 1, recipients: 2, newRecipients: 1 };
    const text = [
      formatKey(Buffer.alloc(32, 7)),
      formatEntry({ ...entry, at: now - 40 * day, addresses: [known] }),
      formatEntry({ ...entry, at: now - hour / 2, addresses: [known] }),
      formatEntry({ ...entry, login: "bert", at: now, addresses: [] }),
    ].join("");
    const url = await databases.make();
    const database = await databases.connect(url);
    expect(await usageIntoDatabase(database, text)).toBe(true);
    const shared = databases.open(await openSharedUsage(database, () => generous, Date.now));
    expect(total(shared.mirror.of("anna").messages, hour, now)).toBe(1);
    expect(total(shared.mirror.of("bert").recipients, day, now)).toBe(2);
    expect(shared.mirror.digest("anna", "Friend@example.net")).toBe(known);
    const strict = { ...generous, newRecipientsPerDay: 1 };
    const spend = { login: "anna", at: 0, recipients: [known] };
    expect((await database.transaction((query) => settleSpends(query, [spend], strict))).size).toBe(0);
    let written = "";
    for await (const line of usageFromDatabase(database, now)) written += line;
    const content = parseUsage(written);
    expect(content).toMatchObject({ key: Buffer.alloc(32, 7), ignored: 0 });
    const back = newUsage(Buffer.alloc(32, 7));
    for (const each of content?.entries ?? []) back.add(each);
    expect(total(back.of("anna").messages, hour, now)).toBe(2);
    expect(back.knows("anna", known, now)).toBe(true);
    // Another spool has another key: its counts are taken, whom its logins know is not.
    const other = `${formatKey(Buffer.alloc(32, 8))}${formatEntry({ ...entry, at: now, addresses: ["AAAAAAAA"] })}`;
    expect(await usageIntoDatabase(database, other)).toBe(false);
    await shared.mirror.look();
    expect(total(shared.mirror.of("anna").messages, hour, now)).toBe(3);
    expect(await usageIntoDatabase(database, "what is this")).toBe(false);
  });

  test("are forgotten when nothing counts any more, and who was not written to for long is new again", async () => {
    const url = await databases.make();
    const database = await databases.connect(url);
    const now = Date.now();
    const today = dayOf(now);
    await database.query(
      "INSERT INTO usage (login, state) VALUES ('old', $1), ('known', ''), ('young', $2)",
      [
        `{"messages":[[1,5]],"recipients":[[1,5]],"newRecipients":[]}`,
        `{"messages":[[${Math.floor((now * 60) / hour)},5]],"recipients":[],"newRecipients":[]}`,
      ],
    );
    const rows = [
      ["known", "longago", today - rememberedDays - 1],
      ["known", "recent", today - rememberedDays],
      ...Array.from({ length: 12 }, (_, age) => ["young", `p${String(age).padStart(2, "0")}`, today - age]),
    ];
    for (const row of rows)
      await database.query("INSERT INTO correspondents (login, digest, day) VALUES ($1, $2, $3)", row);
    await forgetUsage(database, now, 10);
    expect(await database.query("SELECT login FROM usage ORDER BY login")).toEqual([
      { login: "known" },
      { login: "young" },
    ]);
    const left = await database.query<{ digest: string }>(
      "SELECT digest FROM correspondents ORDER BY login, digest",
    );
    expect(left.map(({ digest }) => digest)).toEqual([
      "recent",
      ...Array.from({ length: 10 }, (_, age) => `p${String(age).padStart(2, "0")}`),
    ]);
  });

  test("survive a row that a person has spoiled: mail goes on", async () => {
    const database = await databases.connect(await databases.make());
    for (const state of ["{", "null", `{"messages":[["x",1],[1],7]}`, "[]"]) {
      await database.query(
        "INSERT INTO usage (login, state) VALUES ('anna', $1) ON CONFLICT (login) DO UPDATE SET state = excluded.state",
        [state],
      );
      const spend = { login: "anna", at: 0, recipients: ["x"] };
      expect((await database.transaction((query) => settleSpends(query, [spend], generous))).size).toBe(0);
    }
  });
});

/** Of the database in a URL. */
const nameOf = (url: string): string => /\/(\w+)\?/.exec(url)?.[1] ?? "";
